import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, it } from "vitest";
import { writeFileWhole } from "#lib/write-file.ts";

it("a reader never sees part of a file, and nothing else is left beside it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "stratiform-write-"));
  const path = join(folder, "file.json");
  writeFileWhole(path, JSON.stringify({ n: 0, pad: "x".repeat(100_000) }), 0o600);
  const reading = `
    const { readFileSync } = require("node:fs");
    const { workerData, parentPort } = require("node:worker_threads");
    let read = 0;
    parentPort.once("message", () => { parentPort.postMessage(read); process.exit(0); });
    const round = () => { for (let i = 0; i < 20; i++) { JSON.parse(readFileSync(workerData, "utf8")); read += 1; } setImmediate(round); };
    round();`;
  const worker = new Worker(reading, { eval: true, workerData: path });
  const failed = new Promise<never>((_, reject) => worker.once("error", reject));
  const done = new Promise<number>((resolve) => worker.once("message", resolve));
  await new Promise((resolve) => worker.once("online", resolve));
  for (let n = 1; n <= 300; n++) {
    writeFileWhole(path, JSON.stringify({ n, pad: "x".repeat(100_000) }), 0o600);
    if (n % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  }
  worker.postMessage("stop");
  expect(await Promise.race([done, failed])).toBeGreaterThan(20);
  expect((JSON.parse(readFileSync(path, "utf8")) as { n: number }).n).toBe(300);
  expect(readdirSync(folder)).toEqual(["file.json"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  rmSync(folder, { recursive: true });
});
