/** A control plane that cannot start leaves nothing behind. */
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { silentLog } from "#lib/log.ts";
import { startControlPlane, stopDatabase } from "#main.ts";

test("a port that is taken ends the start and the database it began", { timeout: 90_000 }, async () => {
  const home = mkdtempSync(join(tmpdir(), "stratiform-start-"));
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  try {
    await expect(startControlPlane({ home, port, log: silentLog })).rejects.toThrow("cannot be listened on");
    const files = readdirSync(join(home, "postgres"), { recursive: true }).map(String);
    const pidFiles = files.filter((file) => file.endsWith("postmaster.pid"));
    expect(pidFiles).toEqual([]);
    // What was begun and ended can be begun again.
    taken.close();
    const plane = await startControlPlane({ home, port: 0, log: silentLog });
    await plane.close();
  } finally {
    taken.close();
    await stopDatabase(home);
    rmSync(home, { recursive: true, force: true });
  }
});
