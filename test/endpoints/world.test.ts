/** The nothing-left tests believe `worldSnapshot`; this proves that it sees what a site leaves behind. */
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readlinkSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { worldDifference, worldSnapshot } from "../support/world.ts";

const stranger = { ownPid: 1_000_000_000 };

test("a bridge, a packet filter and a namespace left by somebody are found, and gone when they are gone", async () => {
  const before = worldSnapshot(stranger);
  const holder = spawn("unshare", ["--net", "sleep", "62.5"], { stdio: "ignore" });
  await once(holder, "spawn");
  let net = "";
  try {
    await vi.waitUntil(() => readlinkSync(`/proc/${holder.pid}/ns/net`) !== readlinkSync("/proc/self/ns/net"));
    net = readlinkSync(`/proc/${holder.pid}/ns/net`);
    const inside = (...program: string[]) => execFileSync("nsenter", ["-t", String(holder.pid), "-n", ...program]);
    inside("ip", "link", "add", "left0", "type", "bridge");
    inside("nft", "add", "table", "inet", "left");
    const difference = worldDifference(before, worldSnapshot(stranger));
    expect(difference).toContain(`+ links: ${net} left0`);
    expect(difference).toContain(`+ filter: ${net} table inet left {`);
    expect(difference).toContain(`+ namespaces: ${net}`);
  } finally {
    holder.kill("SIGKILL");
    await once(holder, "exit");
  }
  const after = worldDifference(before, worldSnapshot(stranger));
  expect(after.filter((line) => line.includes(net))).toEqual([]);
});
