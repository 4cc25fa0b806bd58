/**
 * Segments: one Linux bridge each, in the site's namespace, with the gateway's address on it, so that reach works from there
 * without any route on the host. The bridge carries its owner as the link's alias; a bridge without our mark is left alone.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import { sameOwner } from "#domain/owner.ts";
import type { SegmentFacts } from "#fabric/contract.ts";
import { exec } from "#lib/exec.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import { siteNamespace } from "#agent/agent-context.ts";
import type { SegmentRecord } from "#agent/agent-state.ts";
import { rulesetText } from "#agent/ruleset.ts";

const segmentLimit = 1_000;

const bridgesSchema = z.array(
  z.object({
    ifname: z.string().optional(),
    ifalias: z.string().optional(),
    flags: z.array(z.string()).optional(),
    addr_info: z.array(z.object({ family: z.string(), local: z.string(), prefixlen: z.number() })).optional(),
  }),
);

interface Bridge {
  readonly name: string;
  readonly alias: string;
  readonly up: boolean;
  /** IPv4 with prefix length. */
  readonly addresses: readonly string[];
}

export async function segmentEnsure(agent: AgentContext, wish: SegmentRecord): Promise<SegmentFacts> {
  const before = agent.state.current();
  const known = before.segments[wish.name];
  const bridge = (await bridgeList(agent)).find((b) => b.name === wish.name);
  refuseForeign(wish, known, bridge);
  if (known === undefined && Object.keys(before.segments).length >= segmentLimit) {
    throw new AppError("no_capacity", `a site carries at most ${segmentLimit} segments`);
  }
  const clash = Object.values(before.segments).find((s) => s.name !== wish.name && prefixesOverlap(s.prefix, wish.prefix));
  if (clash !== undefined) throw new AppError("conflict", `the prefix ${wish.prefix} overlaps with that of segment ${clash.name}`);
  // The intention is written first: a bridge without alias whose name is on record is ours, left by a crash half-way.
  if (JSON.stringify(known) !== JSON.stringify(wish)) {
    await agent.state.write({ ...before, segments: { ...before.segments, [wish.name]: wish } });
  }
  await bridgeSync(agent, wish, bridge);
  await rulesetApply(agent);
  return segmentFacts(wish);
}

export async function segmentRemove(agent: AgentContext, name: string, owner: OwnerMark): Promise<void> {
  const before = agent.state.current();
  const known = before.segments[name];
  const bridge = (await bridgeList(agent)).find((b) => b.name === name);
  refuseForeign({ name, owner }, known, bridge);
  if (bridge !== undefined) await ip(agent, [`link del ${name}`]);
  if (known === undefined) return;
  const { [name]: _removed, ...segments } = before.segments;
  await agent.state.write({ ...before, segments });
  await rulesetApply(agent);
}

/** Ours from the record, and every other bridge there is, with `owner: null`. */
export async function segmentList(agent: AgentContext): Promise<SegmentFacts[]> {
  const segments = agent.state.current().segments;
  const bridges = await bridgeList(agent);
  const present = new Set(bridges.map((b) => b.name));
  const ours = Object.values(segments)
    .filter((s) => present.has(s.name))
    .map(segmentFacts);
  const others = bridges
    .filter((b) => segments[b.name] === undefined)
    .map((b) => ({
      name: b.name,
      owner: aliasParse(b.alias),
      prefix: "",
      gateway: b.addresses[0] ?? "",
      isolated: false,
      attachment: b.name,
    }));
  return [...ours, ...others];
}

/** Brings every segment on record into being: after a start of the site, when the namespace is new. */
export async function segmentsRestore(agent: AgentContext): Promise<void> {
  const bridges = await bridgeList(agent);
  for (const wish of Object.values(agent.state.current().segments)) {
    await bridgeSync(
      agent,
      wish,
      bridges.find((b) => b.name === wish.name),
    );
  }
  await rulesetApply(agent);
}

/** Removes the bridges and the table of a site on the host's own namespace; elsewhere they go with the namespace. */
export async function segmentsRemoveAll(agent: AgentContext): Promise<void> {
  const present = new Set((await bridgeList(agent)).map((b) => b.name));
  for (const name of Object.keys(agent.state.current().segments)) if (present.has(name)) await ip(agent, [`link del ${name}`]);
  await nft(agent, "table inet stratiform {}\ndelete table inet stratiform\n");
}

export function aliasFormat(owner: OwnerMark): string {
  return `stratiform:${owner.installation}/${owner.vapp}/${owner.object}`;
}

export function aliasParse(alias: string): OwnerMark | null {
  const [installation, vapp, object, more] = alias.startsWith("stratiform:") ? alias.slice("stratiform:".length).split("/") : [];
  if (!installation || !vapp || !object || more !== undefined) return null;
  return { installation, vapp, object };
}

/** True when `address` lies in `prefix`, both IPv4. */
export function prefixContains(prefix: string, address: string): boolean {
  const [network = "", length = "32"] = prefix.split("/");
  const mask = length === "0" ? 0 : (-1 << (32 - Number(length))) >>> 0;
  return (toNumber(network) & mask) >>> 0 === (toNumber(address) & mask) >>> 0;
}

function prefixesOverlap(a: string, b: string): boolean {
  return prefixContains(a, b.split("/")[0]!) || prefixContains(b, a.split("/")[0]!);
}

function toNumber(address: string): number {
  return address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

function segmentFacts(record: SegmentRecord): SegmentFacts {
  return { ...record, attachment: record.name };
}

function refuseForeign(wish: { name: string; owner: OwnerMark }, known: SegmentRecord | undefined, bridge: Bridge | undefined): void {
  const foreign =
    known !== undefined ? !sameOwner(known.owner, wish.owner) : bridge !== undefined && !sameOwner(aliasParse(bridge.alias), wish.owner);
  if (foreign) throw new AppError("not_ours", `segment ${wish.name} belongs to somebody else`);
}

async function bridgeSync(agent: AgentContext, wish: SegmentRecord, bridge: Bridge | undefined): Promise<void> {
  const { name } = wish;
  const address = `${wish.gateway}/${wish.prefix.split("/")[1]}`;
  const commands: string[] = [];
  // A fixed hardware address: without it the bridge takes over that of its lowest port, and guests' neighbour tables go stale.
  if (bridge === undefined) commands.push(`link add ${name} address ${bridgeMac(name)} type bridge forward_delay 0 stp_state 0`);
  if (bridge?.alias !== aliasFormat(wish.owner)) commands.push(`link set ${name} alias ${aliasFormat(wish.owner)}`);
  for (const old of bridge?.addresses ?? []) if (old !== address) commands.push(`addr del ${old} dev ${name}`);
  if (!bridge?.addresses.includes(address)) commands.push(`addr add ${address} dev ${name}`);
  if (!bridge?.up) commands.push(`link set ${name} up`);
  if (commands.length > 0) await ip(agent, commands);
}

function bridgeMac(name: string): string {
  const hex = createHash("sha256").update(name).digest("hex");
  return `02:${hex.slice(0, 10).match(/../g)!.join(":")}`;
}

async function bridgeList(agent: AgentContext): Promise<Bridge[]> {
  const result = await exec("ip", [...inNamespace(agent), "-j", "-d", "addr", "show", "type", "bridge"]);
  const parsed = bridgesSchema.parse(result.stdout.trim() === "" ? [] : JSON.parse(result.stdout));
  return parsed.flatMap((b) => {
    if (b.ifname === undefined) return []; // `ip -j` prints an empty object for each link the filter leaves out.
    const addresses = (b.addr_info ?? []).filter((a) => a.family === "inet").map((a) => `${a.local}/${a.prefixlen}`);
    return [{ name: b.ifname, alias: b.ifalias ?? "", up: (b.flags ?? []).includes("UP"), addresses }];
  });
}

function inNamespace(agent: AgentContext): string[] {
  const namespace = siteNamespace(agent);
  return namespace === null ? [] : ["-n", namespace];
}

async function ip(agent: AgentContext, commands: readonly string[]): Promise<void> {
  await exec("ip", [...inNamespace(agent), "-batch", "-"], { stdin: `${commands.join("\n")}\n` });
}

async function rulesetApply(agent: AgentContext): Promise<void> {
  const policy = siteNamespace(agent) === null ? "accept" : "drop";
  await nft(agent, rulesetText(Object.values(agent.state.current().segments), { policy }));
}

async function nft(agent: AgentContext, text: string): Promise<void> {
  const namespace = siteNamespace(agent);
  if (namespace === null) await exec("nft", ["-f", "-"], { stdin: text });
  else await exec("nsenter", [`--net=/run/netns/${namespace}`, "nft", "-f", "-"], { stdin: text });
}
