/**
 * Probe hosts for the fabric suite on a real site: a network namespace with one veth whose other end is a port of the segment's
 * bridge, exactly what a container is to the fabric. Programs in it are small node processes of ours, ended by pid.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import type { SegmentFacts } from "#fabric/contract.ts";
import type { ProbeHost } from "#fabric/conformance.ts";
import { exec } from "#lib/exec.ts";

const listenProgram = `
const [port, answer] = process.argv.slice(1);
const server = require("node:net").createServer((c) => { c.on("error", () => {}); c.end(answer); });
server.listen({ port: Number(port), host: "0.0.0.0" }, () => console.log("ready"));
process.stdin.once("end", () => process.exit()).resume();
`;
const fetchProgram = `
const [host, port, ms] = process.argv.slice(1);
let text = "";
const socket = require("node:net").connect({ host, port: Number(port) });
const fail = () => { console.log("null"); process.exit(); };
setTimeout(fail, Number(ms));
socket.on("data", (d) => (text += d)).on("error", fail).on("end", () => { console.log(JSON.stringify(text || null)); process.exit(); });
`;

export interface ProbeGuest extends ProbeHost {
  /** Arguments for nsenter that run a program in the guest's namespace. */
  readonly enter: readonly string[];
}

/** Puts a host on a segment of the site whose network namespace is `siteNamespace`. */
export async function attachProbeHost(siteNamespace: string, segment: SegmentFacts, address: string): Promise<ProbeGuest> {
  const tag = randomBytes(4).toString("hex");
  const namespace = `strat-probe-${tag}`;
  const length = segment.prefix.split("/")[1];
  await exec("ip", ["netns", "add", namespace]);
  await exec("ip", ["-n", siteNamespace, "link", "add", `p${tag}`, "type", "veth", "peer", "name", "eth0", "netns", namespace]);
  await exec("ip", ["-n", siteNamespace, "link", "set", `p${tag}`, "master", segment.attachment, "up"]);
  const script = [
    "link set lo up",
    `addr add ${address}/${length} dev eth0`,
    "link set eth0 up",
    `route add default via ${segment.gateway}`,
  ];
  await exec("ip", ["-n", namespace, "-batch", "-"], { stdin: `${script.join("\n")}\n` });
  const enter = [`--net=/run/netns/${namespace}`];
  const host = makeHost(address, enter, async () => {
    await exec("ip", ["netns", "del", namespace], { okCodes: [0, 1, 255] });
  });
  return { ...host, enter };
}

/** A host that is a network namespace somebody else made and removes. */
export function namespaceHost(namespace: string, address: string): ProbeHost {
  return makeHost(address, [`--net=/run/netns/${namespace}`], async () => {});
}

/** This machine itself, seen under the address the site's uplink has on it. */
export function hostItself(address: string): ProbeHost {
  return makeHost(address, null, async () => {});
}

function makeHost(address: string, enter: readonly string[] | null, detach: () => Promise<void>): ProbeHost {
  const listeners = new Map<number, ChildProcess>();
  const command = (program: string, args: readonly string[]): [string, string[]] => {
    const node = [process.execPath, "-e", program, ...args];
    return enter === null ? [node[0]!, node.slice(1)] : ["nsenter", [...enter, ...node]];
  };
  return {
    address,
    async listen(port, answer) {
      if (listeners.has(port)) return;
      const child = spawn(...command(listenProgram, [String(port), answer]), { stdio: ["pipe", "pipe", "inherit"] });
      listeners.set(port, child);
      await new Promise<void>((resolve, reject) => {
        child.stdout!.once("data", () => resolve());
        child.once("exit", () => reject(new Error(`nothing listens on ${address}:${port}`)));
      });
    },
    async fetch(target, port, timeoutMs) {
      const result = await exec(...command(fetchProgram, [target, String(port), String(timeoutMs)]));
      return JSON.parse(result.stdout) as string | null;
    },
    async remove() {
      for (const child of listeners.values()) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        if (child.exitCode !== null || child.signalCode !== null) continue;
        child.kill("SIGKILL");
        await ended;
      }
      listeners.clear();
      await detach();
    },
  };
}
