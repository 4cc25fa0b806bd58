/**
 * A site made of "the host's own daemons", without touching this host: the fake host is a network and mount namespace in which the
 * sockets of a test site's daemons lie where Debian's packages put them. The agent inside it believes it is at home.
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { exec } from "#lib/exec.ts";
import type { TestSite } from "./site.ts";

const agentFile = fileURLToPath(new URL("../../src/agent/main.ts", import.meta.url));

const hostAddress = "10.98.0.1";
const outsideAddress = "10.98.0.2";

export interface HostSite {
  readonly socket: string;
  /** Network namespace of the fake host. */
  readonly namespace: string;
  /** Network namespace of a machine on the fake host's network, and its address. */
  readonly outside: string;
  readonly outsideAddress: string;
  /** Kills the agent (-9) and starts another. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** `lends` says which daemons' sockets the fake host has. */
export async function startHostSite(daemons: TestSite, lends: readonly ("libvirt" | "lxd")[]): Promise<HostSite> {
  const home = await mkdtemp(join(tmpdir(), "strat-host-"));
  const namespace = `strat-host-${home.slice(-6)}`;
  await exec("ip", ["netns", "add", namespace]);
  await exec("ip", ["-n", namespace, "link", "set", "lo", "up"]);
  const outside = `${namespace}-out`;
  await exec("ip", ["netns", "add", outside]);
  await exec("ip", ["-n", namespace, "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", outside]);
  const hostLink = [`addr add ${hostAddress}/24 dev lan0`, "link set lan0 up"];
  // The outside knows the way to every segment, so only the site's rules can keep it out.
  const outsideLink = [`addr add ${outsideAddress}/24 dev eth0`, "link set eth0 up", `route add 10.64.0.0/16 via ${hostAddress}`];
  await exec("ip", ["-n", namespace, "-batch", "-"], { stdin: `${hostLink.join("\n")}\n` });
  await exec("ip", ["-n", outside, "-batch", "-"], { stdin: `${outsideLink.join("\n")}\n` });
  await exec("nsenter", [`--net=/run/netns/${namespace}`, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
  await mkdir(join(home, "agent"));
  const sockets = { libvirt: daemons.libvirtConfig.socket, lxd: daemons.lxdConfig.socket };
  const links = lends.map(
    (kind) => `ln -s ${sockets[kind]} ${kind === "libvirt" ? "/run/libvirt/libvirt-sock" : "/var/lib/lxd/unix.socket"}`,
  );
  const script = [
    "set -e; mount -t tmpfs tmpfs /var/lib; mount -t tmpfs tmpfs /run; mkdir /run/libvirt /var/lib/lxd",
    ...links,
    `exec "$0" ${agentFile} --home ${join(home, "agent")} --site fakehost --accelerator tcg --expose ${hostAddress}`,
  ].join("; ");
  const start = async () => {
    const enter = [`--net=/run/netns/${namespace}`, "unshare", "-m", "--propagation", "private", "sh", "-c", script, process.execPath];
    const child = spawn("nsenter", enter, { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise<void>((resolve, reject) => {
      child.stdout.once("data", () => resolve());
      child.once("exit", (code) => reject(new Error(`the agent ended with ${code}`)));
    });
    return child;
  };
  let agent = await start();
  const end = async (signal: NodeJS.Signals) => {
    const ended = new Promise((resolve) => agent.once("exit", resolve));
    agent.kill(signal);
    await ended;
  };
  return {
    socket: join(home, "agent", "agent.sock"),
    namespace,
    outside,
    outsideAddress,
    async restart() {
      await end("SIGKILL");
      agent = await start();
    },
    async stop() {
      await end("SIGTERM");
      for (const name of [namespace, outside]) await exec("ip", ["netns", "del", name]);
      await rm(home, { recursive: true });
    },
  };
}
