/** `strat` as people start it: a process of its own, against a real server. */
import { execFile } from "node:child_process";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Schemas } from "#sdk/client.ts";
import { startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
beforeAll(async () => (plane = await startTestControlPlane()));
afterAll(() => plane.close());

interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const main = new URL("../../src/cli/main.ts", import.meta.url).pathname;

function strat(args: readonly string[], env: Record<string, string> = { STRATIFORM_HOME: plane.home }): Promise<Said> {
  const { PATH = "" } = process.env;
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env: { PATH, NO_COLOR: "1", ...env } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr });
    });
  });
}

test("order, show, exec, bill, delete: the way of a vApp", async () => {
  const ordered = await strat(["order", "tiny", "--name", "hello", "--set", "nodes=2", "--yes"]);
  expect(ordered.stderr).toContain("Deploy hello: 3 machines");
  expect(ordered).toMatchObject({ code: 0, stdout: expect.stringMatching(/^hello is active in [\d.]+ s\n {2}http:\/\//) });

  const shown = await strat(["vapp", "show", "hello"]);
  expect(shown.stdout).toMatch(/node-1 +vm +running +sim:a [\d.]+ (s|min) ago/);
  expect(shown.stdout).toMatch(/cost [\d.]+ EUR an hour/);
  const asJson = JSON.parse((await strat(["vapp", "show", "hello", "--json"])).stdout) as Schemas["Vapp"];
  expect(asJson.machines.map(({ name }) => name).toSorted()).toEqual(["edge-0", "node-0", "node-1"]);
  expect((await strat(["vapp", "ls"])).stdout).toContain("hello");

  expect(await strat(["vapp", "exec", "hello", "node-0", "--", "/bin/echo", "hi"])).toMatchObject({ code: 0, stdout: "hi\n" });
  expect(await strat(["vapp", "exec", "hello", "node-0", "--", "/bin/false"])).toMatchObject({ code: 1 });
  expect((await strat(["bill", "hello"])).stdout).toMatch(/EUR {2}hello, /);

  const events = (await strat(["events", "--vapp", "hello"])).stdout.trim().split("\n");
  expect(events[0]).toContain("order.accepted");
  const deleted = await strat(["vapp", "delete", "hello", "--yes", "--json"]);
  expect(JSON.parse(deleted.stdout)).toMatchObject({ state: "succeeded", action: "delete" });
  expect(deleted.stderr).toBe("");
  expect((await strat(["vapp", "ls"])).stdout).toMatch(/^hello +stopped, deleted /m);
  expect((await strat(["audit", "--json"])).stdout).toContain("process.run");
});

test("a plan is shown and can be ordered by its hash; --no-wait returns at once and the run can be followed", async () => {
  const plan = JSON.parse((await strat(["plan", "tiny", "--name", "later", "--json"])).stdout) as Schemas["Plan"];
  expect(await strat(["order", "--plan", plan.id, "--hash", "0"])).toMatchObject({ code: 3 });
  const order = JSON.parse(
    (await strat(["order", "--plan", plan.id, "--hash", plan.hash, "--no-wait", "--json"])).stdout,
  ) as Schemas["Order"];
  const run = await strat(["run", "show", order.run, "--wait"]);
  expect(run).toMatchObject({ code: 0, stdout: expect.stringContaining("succeeded") });
  expect(run.stderr).toMatch(/\[1\/\d+\]/);
  expect((await strat(["run", "ls", "--vapp", "later"])).stdout).toMatch(new RegExp(`^${order.run}  succeeded .* Deploy later: `, "m"));
  expect(JSON.parse((await strat(["run", "ls", "--limit", "1", "--json"])).stdout)).toMatchObject([{ run: order.run }]);
});

test.each([
  ["usage", ["vapp", "shw"], 2, "unknown command"],
  ["usage", ["order"], 2, "name an offering"],
  ["usage", ["order", "tiny", "--name", "Not A Name"], 2, "lower-case"],
  ["refused", ["order", "tiny", "--name", "wide", "--set", "nodes=9"], 2, "nearest   use 4"],
  ["not found", ["vapp", "show", "nobody"], 4, "there is no vApp"],
  ["not found", ["site", "ls", "--url", "http://127.0.0.1:1"], 5, "strat up"],
  ["token", ["vapp", "ls", "--token", "wrong"], 5, "a valid token is required"],
])("exit code of %s: %j", async (_what, args, code, says) => {
  const said = await strat(args);
  expect(said.stderr).toContain(says);
  expect(said.code).toBe(code);
});

test("what policy refuses ends with 3 and names the rule", async () => {
  const token = await plane.principal("cli-member", "member");
  const said = await strat(["image", "rm", "tiny-node", "--token", token]);
  expect(said).toMatchObject({ code: 3, stderr: expect.stringContaining("no policy permits it") });
});

test("without a server it says how to start one; with --json errors are JSON, too", async () => {
  const lost = await strat(["vapp", "ls"], { STRATIFORM_HOME: "/nonexistent" });
  expect(lost).toMatchObject({ code: 5, stderr: expect.stringContaining("strat up") });
  const problem = await strat(["vapp", "show", "nobody", "--json"]);
  expect(JSON.parse(problem.stderr)).toMatchObject({ code: "not_found", status: 404 });
});

test("configuration: sites, endpoints, offerings, images", async () => {
  const socket = `${plane.home}/sim.sock`;
  expect(await strat(["site", "set", "branch", "--fabric", "sim", "--socket", socket])).toMatchObject({
    code: 0,
    stdout: "branch: generation 1\n",
  });
  const endpoint = await strat([
    "endpoint",
    "set",
    "b",
    "--site",
    "branch",
    "--provider",
    "sim",
    "--config",
    JSON.stringify({ socket, endpoint: "b" }),
  ]);
  expect(endpoint.stdout).toMatch(/b +ready/);
  expect((await strat(["endpoint", "check", "b"])).code).toBe(0);
  expect((await strat(["site", "ls"])).stdout).toContain("branch");
  expect((await strat(["offering", "publish", new URL("../../offerings/tiny.yaml", import.meta.url).pathname])).stdout).toContain(
    "tiny@1.0.0: published",
  );
  expect((await strat(["offering", "show", "tiny"])).stdout).toMatch(/nodes +integer +1/);
  expect((await strat(["image", "ls"])).stdout).toMatch(/tiny-node +sim 1\.0 MiB/);
});
