/**
 * A way out for the fresh machine: one veth pair, one /30, masquerading in a table of its own. Forwarding is switched on only if it was
 * off, and off again afterwards.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { output, outputLines } from "./program.ts";

const forwarding = "/proc/sys/net/ipv4/ip_forward";

/** A /30 of the range for tests between networks (RFC 2544) that no route uses here. */
function freePrefix(): { host: string; guest: string; prefix: string } {
  const routes = outputLines("ip", ["route", "show", "table", "all"]).join("\n");
  for (let i = 1; i < 255; i++) {
    if (!routes.includes(`198.18.${i}.`)) return { host: `198.18.${i}.1`, guest: `198.18.${i}.2`, prefix: `198.18.${i}.0/30` };
  }
  throw new Error("no free prefix for the fresh machine");
}

/** `inside` is a shell script that configures the far end. */
export function uplink(pid: number): { readonly inside: string; remove(): void } {
  const name = `sf${pid}`;
  const table = `stratiform_fresh_${pid}`;
  const { host, guest, prefix } = freePrefix();
  const wasForwarding = readFileSync(forwarding, "utf8").trim();
  output("ip", ["link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", String(pid)]);
  const remove = () => {
    // The pair dies with the namespace; asking for a link that is gone already is no failure.
    if (outputLines("ip", ["-o", "link"]).some((l) => l.includes(` ${name}@`))) output("ip", ["link", "del", name]);
    if (outputLines("nft", ["list", "tables"]).includes(`table ip ${table}`)) output("nft", ["delete", "table", "ip", table]);
    if (wasForwarding === "0") writeFileSync(forwarding, "0");
  };
  try {
    output("ip", ["addr", "add", `${host}/30`, "dev", name]);
    output("ip", ["link", "set", name, "up"]);
    output("nft", ["add", "table", "ip", table]);
    output("nft", ["add", "chain", "ip", table, "out", "{ type nat hook postrouting priority srcnat; }"]);
    output("nft", ["add", "rule", "ip", table, "out", "ip", "saddr", prefix, "masquerade"]);
    if (wasForwarding === "0") writeFileSync(forwarding, "1");
  } catch (error) {
    remove();
    throw error;
  }
  // A bare machine has no `ip`: this one's is used from outside.
  const enter = (...args: string[]) => output("nsenter", ["-t", String(pid), "--net", "ip", ...args]);
  enter("link", "set", "lo", "up");
  enter("addr", "add", `${guest}/30`, "dev", "eth0");
  enter("link", "set", "eth0", "up");
  enter("route", "add", "default", "via", host);
  return { inside: `${guest}\n`, remove };
}
