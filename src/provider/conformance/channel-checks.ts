import assert from "node:assert/strict";
import { check, rejectsWith, type ConformanceCheck } from "#provider/conformance/subject.ts";

/** Two-, three- and four-byte characters: 300 000 bytes cross every chunk boundary a channel may have. */
const text = "line ä € 😀\n".repeat(18_000);

export const channelChecks: readonly ConformanceCheck[] = [
  check(
    "channelRun returns exit code, stdout and stderr",
    async (bench) => {
      const spec = await bench.ready();
      const run = (...argv: string[]) => bench.provider.channelRun(bench.ctx, spec, { argv });
      const echoed = await run("/bin/echo", "a b", "$HOME;'\"", "ä€😀");
      assert.deepEqual(echoed, { exitCode: 0, stdout: "a b $HOME;'\" ä€😀\n", stderr: "", truncated: false });
      const failed = await run("/bin/false");
      assert.deepEqual({ code: failed.exitCode, out: failed.stdout }, { code: 1, out: "" });
      const missing = await run("/bin/cat", "/no/such/file");
      assert.equal(missing.exitCode, 1);
      assert.equal(missing.stdout, "");
      assert.match(missing.stderr, /\/no\/such\/file/);
    },
    "channel",
  ),

  check(
    "channelRun passes standard input through unchanged",
    async (bench) => {
      const spec = await bench.ready();
      const result = await bench.provider.channelRun(bench.ctx, spec, { argv: ["/bin/cat"], stdin: text });
      assert.equal(result.exitCode, 0);
      assert.equal(result.stdout.length, text.length);
      assert.ok(result.stdout === text, "the text came back changed");
      const empty = await bench.provider.channelRun(bench.ctx, spec, { argv: ["/bin/cat"] });
      assert.deepEqual(empty, { exitCode: 0, stdout: "", stderr: "", truncated: false });
    },
    "channel",
  ),

  check(
    "channelRun ends at its time limit",
    async (bench) => {
      const spec = await bench.ready();
      const started = Date.now();
      const command = { argv: ["/bin/sleep", "60"], timeoutMs: 500 };
      await rejectsWith("timeout", () => bench.provider.channelRun(bench.ctx, spec, command));
      assert.ok(Date.now() - started < 10_000, "the limit was not kept");
      const after = await bench.provider.channelRun(bench.ctx, spec, { argv: ["/bin/echo", "still there"] });
      assert.equal(after.stdout, "still there\n");
    },
    "channel",
  ),

  check(
    "channelRun is endpoint_busy while the machine is stopped, not_found when it is missing",
    async (bench) => {
      const spec = await bench.made();
      const command = { argv: ["/bin/echo", "hi"] };
      await rejectsWith("endpoint_busy", () => bench.provider.channelRun(bench.ctx, spec, command));
      await bench.provider.machineRemove(bench.ctx, spec);
      await rejectsWith("not_found", () => bench.provider.channelRun(bench.ctx, spec, command));
    },
    "channel",
  ),
];
