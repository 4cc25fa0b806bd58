/**
 * The site: made of a libvirtd and an LXD of its own in namespaces of its own, or of the host's daemons when both answer, never a
 * mix. Bringing up is an ensure: each phase looks first, so it also repairs a site some of whose parts died. Taking down leaves
 * no process, link, namespace, mount, control group or file behind.
 */
import { mkdir, readFile, rm, rmdir } from "node:fs/promises";
import { performance } from "node:perf_hooks";
import { AppError } from "#domain/error.ts";
import { unixRequest } from "#lib/unix-http.ts";
import { acceleratorProbe } from "#agent/accelerator.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import { prerequisitesCheck } from "#agent/prerequisites.ts";
import { segmentsRemoveAll, segmentsRestore } from "#agent/segments.ts";
import { daemonsStop, libvirtdEnsure, lxdEnsure, socketAnswers, storagePoolFind, storagePoolName } from "#agent/site-daemons.ts";
import { uplinkOf } from "#agent/site-layout.ts";
import { acceleratorUncover, holderIsAlive, namespaceEnsure, namespaceRemove } from "#agent/site-namespace.ts";

const hostSockets = { libvirt: "/run/libvirt/libvirt-sock", lxd: "/var/lib/lxd/unix.socket" };
const hostPoolFolder = "/var/lib/libvirt/stratiform";

export type SiteDaemons = "own" | "host";

export interface SiteFacts {
  readonly name: string;
  readonly state: "up" | "down";
  readonly daemons: SiteDaemons;
  /** Name of the network namespace; null on the host's own daemons. */
  readonly namespace: string | null;
  readonly accelerator: "kvm" | "tcg" | null;
  /** Address of the host as the site's guests see it; null without a namespace. */
  readonly hostAddress: string | null;
  /** Configuration of the two endpoints, as their providers take it; null while the site is down. */
  readonly endpoints: {
    readonly libvirt: { readonly socket: string; readonly pool: { readonly name: string; readonly path: string } };
    readonly lxd: { readonly socket: string; readonly pool: string };
  } | null;
}

/** Called when a phase has ended. */
export type Progress = (phase: string, seconds: number) => void;

export async function siteObserve(agent: AgentContext): Promise<SiteFacts> {
  const { layout } = agent;
  const site = agent.state.current().site;
  const host = site?.daemons === "host";
  const sockets = host ? hostSockets : { libvirt: layout.libvirtSocket, lxd: layout.lxdSocket };
  const alive = site !== null && (host || (await holderIsAlive(agent)));
  const up = alive && (await socketAnswers(sockets.libvirt)) && (await socketAnswers(sockets.lxd));
  return {
    name: layout.siteName,
    state: up ? "up" : "down",
    daemons: host ? "host" : "own",
    namespace: host ? null : layout.namespace,
    accelerator: site?.accelerator ?? null,
    hostAddress: site?.uplinkIndex == null ? null : uplinkOf(site.uplinkIndex).hostAddress,
    endpoints: up
      ? {
          libvirt: { socket: sockets.libvirt, pool: { name: storagePoolName, path: host ? hostPoolFolder : layout.poolFolder } },
          lxd: { socket: sockets.lxd, pool: host ? await storagePoolFind(sockets.lxd) : storagePoolName },
        }
      : null,
  };
}

export async function siteUp(agent: AgentContext, daemons: SiteDaemons, progress: Progress): Promise<SiteFacts> {
  const before = agent.state.current().site;
  if (before !== null && before.daemons !== daemons) {
    throw new AppError("conflict", `the site exists with daemons "${before.daemons}"; take it down first`);
  }
  const phase = phases(progress);
  if (daemons === "host") {
    await phase("host daemons", () => hostDaemonsCheck());
    await mkdir(hostPoolFolder, { recursive: true });
    if (before === null) {
      const site = {
        daemons,
        uplinkIndex: null,
        holder: null,
        cgroupFolders: [],
        accelerator: agent.accelerator ?? (await acceleratorProbe(agent.layout.home)),
      };
      await agent.state.write({ ...agent.state.current(), site });
    }
  } else {
    await phase("prerequisites", () => prerequisitesCheck());
    await ownDaemonsUp(agent, phase);
  }
  await phase("segments", () => segmentsRestore(agent));
  return await siteObserve(agent);
}

/** The probe of the accelerator takes longest and only libvirtd needs it, so everything else goes on beside it. */
async function ownDaemonsUp(agent: AgentContext, phase: Phase): Promise<void> {
  const known = agent.state.current().site?.accelerator ?? agent.accelerator;
  const probe = known === null ? phase("accelerator", () => acceleratorProbe(agent.layout.home)) : Promise.resolve(known);
  const namespace = phase("namespace", () => namespaceEnsure(agent));
  probe.catch(() => {}); // It is awaited below; until then its failure must not count as unhandled.
  const { holder } = await namespace;
  if (holder === null) throw new AppError("internal", "the site has no holder");
  const lxd = phase("lxd", () => lxdEnsure(agent, holder));
  const libvirtd = probe.then(async (accelerator) => {
    if (accelerator === "kvm") await acceleratorUncover(holder);
    await phase("libvirtd", () => libvirtdEnsure(agent, holder));
  });
  await Promise.allSettled([lxd, libvirtd]);
  await Promise.all([lxd, libvirtd]);
  const { site, ...rest } = agent.state.current();
  const accelerator = await probe;
  if (site !== null && site.accelerator !== accelerator) await agent.state.write({ ...rest, site: { ...site, accelerator } });
}

/** `keepData`: the daemons end in an orderly way and disks, images and the record stay for the next start. */
export async function siteDown(agent: AgentContext, options: { readonly keepData: boolean }, progress: Progress): Promise<void> {
  const site = agent.state.current().site;
  const phase = phases(progress);
  if (site?.daemons === "host") {
    await phase("segments", () => segmentsRemoveAll(agent));
    if (!options.keepData) await rmdir(hostPoolFolder).catch(() => {}); // Disks that are still in it are not ours to decide on.
  } else {
    const holder = site?.holder;
    if (options.keepData && holder && (await holderIsAlive(agent))) await phase("daemons", () => daemonsStop(agent, holder));
    await phase("namespace", () => namespaceRemove(agent));
  }
  const { segments, exposures } = agent.state.current();
  if (options.keepData) return await agent.state.write({ version: 1, site: null, segments, exposures });
  await phase("files", () => rm(agent.layout.folder, { recursive: true, force: true }));
  await agent.state.write({ version: 1, site: null, segments: {}, exposures: {} });
}

/**
 * Both daemons must answer: a site with one of its own and one of the host's would have two networks. Forwarding must be on
 * already, because switching it on is a decision about the whole host and not the site's to take.
 */
async function hostDaemonsCheck(): Promise<void> {
  if ((await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim() !== "1") {
    throw new AppError("capability_missing", "The host does not forward packets, so its guests would have no way out", {
      detail: [{ constraint: "net.ipv4.ip_forward = 1", source: "daemons of the host", nearest: "sysctl -w net.ipv4.ip_forward=1" }],
    });
  }
  const lxd = await unixRequest({ socket: hostSockets.lxd, method: "GET", path: "/1.0", timeoutMs: 5_000 }).catch(() => null);
  const silent = [
    ...((await socketAnswers(hostSockets.libvirt)) ? [] : [hostSockets.libvirt]),
    ...(lxd?.status === 200 ? [] : [hostSockets.lxd]),
  ];
  if (silent.length === 0) return void (await storagePoolFind(hostSockets.lxd));
  throw new AppError("capability_missing", `The host's own daemons cannot carry the site: ${silent.join(" and ")} does not answer`, {
    detail: [{ constraint: "libvirtd and LXD both answer", source: "a site is never a mix", nearest: 'use daemons "own"' }],
  });
}

type Phase = <T>(name: string, work: () => Promise<T>) => Promise<T>;

function phases(progress: Progress): Phase {
  return async (name, work) => {
    const start = performance.now();
    const result = await work();
    progress(name, Math.round(performance.now() - start) / 1000);
    return result;
  };
}
