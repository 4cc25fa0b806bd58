/** The seven layers of a vApp over HTTP and in the terminal: what is there, what differs, who set it, and never a secret. */
import { execFile } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import { layers } from "#domain/fact.ts";
import type { Schemas } from "#sdk/client.ts";
import { startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
beforeAll(async () => (plane = await startTestControlPlane()));
afterAll(() => plane.close());

type Layers = Schemas["VappLayers"];
type Item = Schemas["LayerItem"];

const main = new URL("../../src/cli/main.ts", import.meta.url).pathname;

function strat(args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env["PATH"] ?? "", NO_COLOR: "1", STRATIFORM_HOME: plane.home };
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

async function layersOf(vapp: string): Promise<Layers> {
  const answer = await plane.request("GET", `/v1/vapps/${vapp}/layers`);
  expect(answer.status).toBe(200);
  return answer.json<Layers>();
}

function item(view: Layers, layer: string, subject: string, name: string): Item {
  const found = view.layers.find((one) => one.layer === layer)?.items.find((one) => one.subject.name === subject && one.name === name);
  if (found === undefined) throw new Error(`${layer} says nothing of ${name} of ${subject}`);
  return found;
}

/** Facts come from samplers; what they will have said is waited for. */
async function until(vapp: string, isSo: (view: Layers) => boolean): Promise<Layers> {
  for (let waited = 0; waited < 300; waited++) {
    const view = await layersOf(vapp);
    if (isSo(view)) return view;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`never so: ${JSON.stringify(await layersOf(vapp), null, 1)}`);
}

const statesOf = (view: Layers) => Object.fromEntries(view.layers.map(({ layer, state }) => [layer, state]));

test("all seven layers, desired and observed side by side, with source, age, why and impact", async () => {
  const order = await plane.deploy("seven");
  const view = await until("seven", (seen) => seen.layers.every(({ state }) => state === "as desired" || state === "none"));
  expect(view.layers.map(({ layer }) => layer)).toEqual([...layers]);
  expect(statesOf(view)).toMatchObject({ storage: "none", management: "none", processing: "as desired", security: "as desired" });

  expect(item(view, "processing", "edge-0", "power")).toMatchObject({
    desired: "running",
    observed: "running",
    agrees: true,
    source: "sim:a",
    stale: false,
    why: { order: order.id, process: "deploy", principal: "admin", policy: "permit: policy admin" },
  });
  expect(item(view, "processing", "edge-0", "power").impact).toContain("the only way in");
  expect(item(view, "application", "node-0", "health")).toMatchObject({ desired: "healthy", observed: "healthy", source: "probe" });
  expect(item(view, "application", "node-0", "configuration")).toMatchObject({
    desired: "generation 1",
    observed: "generation 1",
    agrees: true,
  });
  expect(item(view, "network", "lan", "prefix")).toMatchObject({ agrees: true, source: "sim:sim" });
  expect(item(view, "security", "seven", "open to outside")).toMatchObject({ desired: ["edge:80"], observed: ["edge:80"], agrees: true });
  expect(item(view, "management", "node-0", "charged as")).toMatchObject({ desired: "running", observed: "running", source: "ledger" });
  const ages = view.layers.flatMap(({ items }) => items).filter(({ observed }) => observed !== null);
  for (const one of ages) expect(`${one.source} ${one.observedAt}`, one.name).toMatch(/^\S.* \d{4}-\d\d-\d\dT/);
});

test("what was changed by hand differs, beside what is wanted and why; a repair makes it as desired again", async () => {
  await plane.deploy("meddled");
  const [edge] = await plane.sql<{ external_name: string }>(
    `select m.external_name from machine m join vapp v on v.id = m.vapp_id where v.name = 'meddled' and m.tier = 'edge'`,
  );
  // Without anybody to bring it back at once.
  await plane.sql(`delete from role_grant using principal p where p.id = principal_id and p.name = 'reconciler'`);
  await plane.sim.machineVanish("a", edge!.external_name);
  const view = await until("meddled", (seen) => statesOf(seen)["processing"] === "differs");
  expect(item(view, "processing", "edge-0", "power")).toMatchObject({ desired: "running", observed: "missing", agrees: false });
  expect(view.layers.find(({ layer }) => layer === "processing")?.summary).toContain("power of edge-0");

  const repair = await plane.client.POST("/v1/orders", { body: { action: "repair", vapp: "meddled", input: {} } });
  expect((await plane.waitFor(repair.data!)).state).toBe("succeeded");
  const mended = await until("meddled", (seen) => seen.layers.every(({ state }) => state === "as desired" || state === "none"));
  // It brought back what others set, and handed over the configuration again.
  expect(item(mended, "processing", "edge-0", "power").why).toMatchObject({ process: "deploy" });
  expect(item(mended, "application", "edge-0", "configuration")).toMatchObject({ observed: "generation 2", why: { process: "repair" } });
});

test("a secret is shown by name and age, its value nowhere", async () => {
  await plane.deploy("sealed");
  const text = (await plane.request("GET", "/v1/vapps/sealed/layers")).text;
  const token = await plane.request("POST", "/v1/vapps/sealed/exec", {
    body: { machine: "node-0", argv: ["/bin/cat", "/run/stratiform/context.json"] },
  });
  const { config } = JSON.parse(token.json<{ stdout: string }>().stdout) as { config: { token: string } };
  expect(config.token.length).toBeGreaterThan(20);
  expect(text).not.toContain(config.token);
  expect(item(JSON.parse(text) as Layers, "security", "token", "kept sealed")).toMatchObject({
    agrees: true,
    source: "secret store",
    observed: expect.stringMatching(/^since \d{4}-/),
  });
});

test("who may not read the vApp does not see its layers, and what is not there is not found", async () => {
  const token = await plane.principal("stranger", null);
  expect((await plane.request("GET", "/v1/vapps/sealed/layers", { token })).status).toBe(403);
  expect((await plane.request("GET", "/v1/vapps/nobody/layers")).status).toBe(404);
});

test("the terminal shows them in 100 columns; one layer with why and impact; as JSON they are as they are", async () => {
  const all = await strat(["vapp", "show", "seven", "--layers"]);
  expect(all.code).toBe(0);
  const lines = all.stdout.split("\n");
  expect(lines.filter((line) => line.length > 100)).toEqual([]);
  for (const layer of layers) expect(all.stdout).toMatch(new RegExp(`^${layer.toUpperCase()}  (as desired|none|unknown|differs)`, "m"));
  expect(all.stdout).toMatch(/= +edge-0 +health +healthy +probe, [\d.]+ s ago/);

  const one = await strat(["vapp", "show", "seven", "--layer", "network"]);
  expect(one.stdout).toContain("NETWORK");
  expect(one.stdout).not.toContain("STORAGE");
  expect(one.stdout).toMatch(/if it goes: the only way in/);
  expect(one.stdout).toContain("deploy by admin");
  expect(one.stdout.split("\n").filter((line) => line.length > 100)).toEqual([]);

  const json = JSON.parse((await strat(["vapp", "show", "seven", "--layers", "--json"])).stdout) as Layers;
  expect(json.layers).toHaveLength(7);
  expect(await strat(["vapp", "show", "seven", "--layer", "plumbing"])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("storage"),
  });
});
