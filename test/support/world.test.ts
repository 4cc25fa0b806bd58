import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { worldDifference, worldSnapshot } from "./world.ts";

test("two snapshots of the same folder are the same, a new file is named", () => {
  const folder = mkdtempSync(join(tmpdir(), "stratiform-world-"));
  try {
    const before = worldSnapshot({ folders: [folder] });
    writeFileSync(join(folder, "left"), "");
    const after = worldSnapshot({ folders: [folder] });
    expect(worldDifference({ files: before["files"]! }, { files: after["files"]! })).toEqual([`+ files: ${folder}/left`]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a lost line is named too, and repeated lines are counted", () => {
  expect(worldDifference({ links: ["a", "b", "b"] }, { links: ["a", "b", "c"] })).toEqual(["- links: b", "+ links: c"]);
});

test("a process that outlives its parent is found, one of our own is not", async () => {
  const stranger = spawn("sleep", ["61.5"], { detached: true, stdio: "ignore" });
  await once(stranger, "spawn");
  try {
    const mine = worldSnapshot();
    const seen = worldSnapshot({ ownPid: 1_000_000_000 });
    expect(mine["processes"]!.some((l) => l === `${stranger.pid} sleep 61.5`)).toBe(false);
    expect(seen["processes"]!.some((l) => l === `${stranger.pid} sleep 61.5`)).toBe(true);
  } finally {
    stranger.kill("SIGKILL");
    await once(stranger, "exit");
  }
});

test("of a folder that is left, only the folder is named", () => {
  const after = { files: ["/var/lib/left/", "/var/lib/left/a", "/var/lib/left/b/", "/var/lib/left/b/c", "/var/lib/other"] };
  expect(worldDifference({}, after)).toEqual(["+ files: /var/lib/left/", "+ files: /var/lib/other"]);
});
