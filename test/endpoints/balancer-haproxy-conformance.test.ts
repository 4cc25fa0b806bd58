/** HAProxy passes the same suite as every balancer, with real web servers and real requests. Needs root. */
import { afterAll, beforeAll } from "vitest";
import { balancerConformance, type BalancerSubject } from "#adapter/conformance.ts";
import { haproxyCapabilities, haproxyFactory } from "#adapters/haproxy/balancer.ts";
import { startHaproxyWorld, webPool, type HaproxyWorld } from "../support/haproxy.ts";

let world: HaproxyWorld;
beforeAll(async () => {
  world = await startHaproxyWorld();
  await world.haproxyStart([]);
});
afterAll(() => world.stop());

const subject: BalancerSubject = {
  name: "haproxy",
  capabilities: haproxyCapabilities,
  pool: webPool,
  open: () => haproxyFactory.open(world.access, {}),
  memberStart: (name, options) => world.memberStart(name, options),
  async get(ms = 0) {
    const { status, body } = await world.get(`/?ms=${ms}`);
    return { status, member: /^page of (.*)$/m.exec(body)?.[1] ?? null };
  },
  kill: () => world.haproxyKill(),
  start: (members) => world.haproxyStart(members),
};
balancerConformance(subject);
