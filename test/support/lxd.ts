/**
 * A private LXD for tests: its own folder, network and mount namespace, storage pool and two bridges. It shares nothing with an LXD of the
 * machine and leaves nothing behind. Needs root and Debian's packages lxd and lxd-client.
 */
import { spawn } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "#lib/exec.ts";

export interface TestLxd {
  readonly socket: string;
  readonly pool: string;
  /** Two bridges in the daemon's namespace: 10.9.0.1/24 and 10.9.1.1/24. */
  readonly bridges: readonly [string, string];
  /** LXD's own client, for what must happen behind the provider's back. */
  lxc(...args: string[]): Promise<string>;
  /** Runs a program in the daemon's network namespace, where the bridges are. */
  inside(file: string, ...args: string[]): Promise<string>;
  /** Kills -9 the first process of a running container and waits until LXD noticed. */
  kill(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** LXD must see a sysfs of its own network namespace, but the machine's cgroups: a plain new sysfs has none. */
const start = `set -e
mkdir cgroup
mount --rbind /sys/fs/cgroup cgroup
mount -t sysfs sysfs /sys
mount --rbind cgroup /sys/fs/cgroup
umount -l cgroup
hostname stratiform-test
ip link set lo up
for n in 0 1; do
  ip link add br$n type bridge forward_delay 0
  ip addr add 10.9.$n.1/24 dev br$n
  ip link set br$n up
done
exec lxd --group root --logfile lxd.log
`;

export async function startLxd(): Promise<TestLxd> {
  const folder = await mkdtemp(join(tmpdir(), "stratiform-lxd-"));
  await chmod(folder, 0o711); // Unprivileged containers must be able to pass through.
  const env = { ...process.env, LXD_DIR: join(folder, "lxd") };
  await mkdir(env.LXD_DIR, { mode: 0o711 });
  const daemon = spawn("unshare", ["--net", "--mount", "--uts", "--propagation", "private", "sh", "-c", start], {
    cwd: folder,
    env,
    stdio: "ignore",
  });
  const exited = new Promise<void>((resolve) => daemon.on("exit", () => resolve()));
  const run = async (file: string, args: string[]) => (await exec(file, args, { env, cwd: folder })).stdout;
  const lxc = (...args: string[]) => run("lxc", args);
  const inside = (file: string, ...args: string[]) => run("nsenter", ["--target", String(daemon.pid), "--net", file, ...args]);

  const stop = async () => {
    const names = (await lxc("list", "--format", "csv", "--columns", "n")).split("\n").filter((name) => name !== "");
    for (const name of names) await lxc("delete", "--force", name);
    daemon.kill("SIGTERM");
    await exited;
    await rm(folder, { recursive: true, force: true });
  };

  try {
    await run("lxd", ["waitready", "--timeout", "40"]);
    await lxc("storage", "create", "stratiform", "dir");
  } catch (error) {
    daemon.kill("SIGKILL");
    await exited;
    const log = await readFile(join(folder, "lxd.log"), "utf8").catch(() => "");
    await rm(folder, { recursive: true, force: true });
    throw new Error(`the test's LXD did not start: ${log.slice(-2_000)}`, { cause: error });
  }

  const kill = async (name: string) => {
    const pid = Number(/^PID: (\d+)/im.exec(await lxc("info", name))?.[1]);
    if (!(pid > 1)) throw new Error(`${name} has no process`);
    process.kill(pid, "SIGKILL");
    // LXD learns of it from the container's monitor some milliseconds later; until then it is right to say "running".
    while (!/^Status: STOPPED/im.test(await lxc("info", name))) await new Promise((resolve) => setTimeout(resolve, 20));
  };
  return { socket: join(env.LXD_DIR, "unix.socket"), pool: "stratiform", bridges: ["br0", "br1"], lxc, inside, kill, stop };
}
