/** The simulated site passes the same provider and fabric suites as the real endpoints and fabrics. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll } from "vitest";
import { simFabricFactory } from "#fabrics/sim/fabric.ts";
import { fabricConformance } from "#fabric/conformance.ts";
import { callContext } from "#provider/conformance/subject.ts";
import { providerConformance } from "#provider/conformance.ts";
import { SimControl } from "#providers/sim/control.ts";
import { simFabricSubject } from "../support/sim-fabric-subject.ts";
import { simAttachment, simSubject } from "../support/sim-subject.ts";
import { simPaths, startSim, type RunningSim } from "../support/sim.ts";

const paths = simPaths();
const socket = () => paths.socket;
let sim: RunningSim;
const control = new SimControl(paths.socket);

beforeAll(async () => {
  sim = await startSim(paths);
  const fabric = simFabricFactory.open({ socket: paths.socket });
  const owner = { installation: randomUUID(), vapp: randomUUID(), object: randomUUID() };
  const spec = { name: simAttachment, owner, prefix: "10.64.1.0/24", gateway: "10.64.1.1", isolated: false };
  await fabric.segmentEnsure(callContext(), spec);
  await fabric.close();
});

afterAll(async () => {
  control.close();
  await sim.stop();
  paths.remove();
});

providerConformance(simSubject({ endpoint: "both", kinds: ["vm", "container"], socket, control: () => control }));
providerConformance(simSubject({ endpoint: "containers", kinds: ["container"], socket, control: () => control }));

fabricConformance(simFabricSubject());
