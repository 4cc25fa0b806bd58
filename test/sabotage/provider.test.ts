/** The conformance suite is itself under test: every check turns red on a provider that breaks what it is about. */
import { AssertionError } from "node:assert";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checksFor, conformanceChecks } from "#provider/conformance/checks.ts";
import { callContext, freshOwner, type ConformanceCheck, type ConformanceSubject } from "#provider/conformance/subject.ts";
import { SimControl } from "#providers/sim/control.ts";
import { simFabricFactory } from "#fabrics/sim/fabric.ts";
import { simFactory } from "#providers/sim/provider.ts";
import { simAttachment, simSubject } from "../support/sim-subject.ts";
import { simPaths, startSim, type RunningSim } from "../support/sim.ts";
import { lackSabotages, sabotaged, sabotages, type Sabotage } from "./provider-sabotages.ts";

const paths = simPaths();
const control = new SimControl(paths.socket);
let sim: RunningSim;

beforeAll(async () => {
  sim = await startSim(paths);
  const fabric = simFabricFactory.open({ socket: paths.socket });
  const spec = { name: simAttachment, owner: freshOwner(), prefix: "10.64.1.0/24", gateway: "10.64.1.1", isolated: false };
  await fabric.segmentEnsure(callContext(), spec);
  await fabric.close();
});

afterAll(async () => {
  control.close();
  await sim.stop();
  paths.remove();
});

/** Each sabotage has an endpoint of its own: what it leaves behind must not spoil the next. */
function subjectOf(sabotage: Sabotage, endpoint: string): ConformanceSubject {
  const healthy = simSubject({ endpoint, kinds: ["vm", "container"], socket: () => paths.socket, control: () => control });
  const open = (socket: string) => {
    const inner = simFactory.open({ socket, endpoint });
    return sabotaged(inner, sabotage.change(inner, control, endpoint));
  };
  return { ...healthy, open: () => open(paths.socket), openUnreachable: () => open(`${paths.socket}.missing`) };
}

async function failureOf(check: ConformanceCheck, subject: ConformanceSubject): Promise<unknown> {
  return check.run(subject).then(
    () => null,
    (error: unknown) => error,
  );
}

describe("every check turns red on its sabotage", () => {
  for (const [index, sabotage] of sabotages.entries()) {
    for (const name of sabotage.red) {
      test(`${sabotage.name}: ${name}`, async () => {
        const check = conformanceChecks.find((found) => found.name === name);
        expect(check, `no check named "${name}"`).toBeDefined();
        const error = await failureOf(check!, subjectOf(sabotage, `sabotage${index}`));
        expect(error, "the check did not notice").toBeInstanceOf(Error);
        // A check that stumbles over the sabotage instead of judging it proves little.
        expect(error).not.toBeInstanceOf(TypeError);
      });
    }
  }

  test("no check is without a sabotage", () => {
    const covered = new Set(sabotages.flatMap((sabotage) => sabotage.red));
    expect(conformanceChecks.map((check) => check.name).filter((name) => !covered.has(name))).toEqual([]);
  });
});

describe("every lacks: check turns red on a provider that half does it", () => {
  for (const sabotage of lackSabotages) {
    test(`lacks: ${sabotage.lacks}: ${sabotage.name}`, async () => {
      const subject = subjectOf(sabotage, `lacks-${sabotage.lacks.toLowerCase()}`);
      const declared = { ...subject.capabilities, ...(sabotage.lacks === "vm" ? { machineKinds: [] } : { [sabotage.lacks]: false }) };
      const check = checksFor(declared).find((found) => found.name === `lacks: ${sabotage.lacks}`);
      expect(check).toBeDefined();
      expect(await failureOf(check!, subject), "the check did not notice").toBeInstanceOf(AssertionError);
    });
  }
});
