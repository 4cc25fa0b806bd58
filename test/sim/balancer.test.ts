/** The simulated balancer passes the same suite as real ones. */
import { afterAll, beforeAll } from "vitest";
import { simBalancerCapabilities } from "#adapters/sim/balancer.ts";
import { balancerConformance, type BalancerSubject } from "#adapter/conformance.ts";
import { startSimBalancer, type SimBalancerWorld } from "../support/sim-balancer.ts";

let world: SimBalancerWorld;
beforeAll(async () => {
  world = await startSimBalancer();
});
afterAll(() => world.stop());

const subject: BalancerSubject = {
  name: "sim",
  capabilities: simBalancerCapabilities,
  pool: { name: "web", port: 80, healthPath: "/health" },
  open: () => world.subject.open(),
  memberStart: (name, options) => world.subject.memberStart(name, options),
  get: (ms) => world.subject.get(ms),
  kill: () => world.subject.kill(),
  start: (members) => world.subject.start(members),
};
balancerConformance(subject);
