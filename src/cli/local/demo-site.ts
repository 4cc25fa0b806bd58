/**
 * The site of a demo: the machine's own daemons behind the agent, or the simulation. Both end in the same rows: a site, endpoints and
 * images, registered through the API like anyone's.
 */
import { createHash } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "#domain/error.ts";
import type { Offering } from "#domain/blueprint.ts";
import { unixRequest } from "#lib/unix-http.ts";
import type { Schemas } from "#sdk/client.ts";
import { agentStream } from "#cli/local/agent-stream.ts";
import type { Background } from "#cli/local/background.ts";
import { ownFile, ownProgram } from "#lib/own-file.ts";

/** What a PUT takes, with the name that goes into its path. */
export type NamedSite = Schemas["SitePut"] & { readonly name: string };
export type NamedEndpoint = Schemas["EndpointPut"] & { readonly name: string };
export type NamedImage = Schemas["ImagePut"] & { readonly name: string };

/** A site whose agent (or simulation) answers. Both methods are lazy, may go on side by side, and may be repeated. */
export interface DemoSite {
  readonly site: NamedSite;
  /** Brings the endpoints up. */
  endpoints(): Promise<readonly NamedEndpoint[]>;
  /** Builds what is not cached. */
  images(): Promise<readonly NamedImage[]>;
}

export interface DemoSiteOptions {
  readonly home: string;
  readonly background: Background;
  readonly offering: Offering;
  readonly say: (line: string) => void;
}

const startTimeoutMs = 30_000;
const siteTimeoutMs = 120_000;
const buildTimeoutMs = 900_000;

/** Names of the images an offering's tiers are made from; expressions are not demonstrated here. */
export function imagesOf(offering: Offering): string[] {
  return [...new Set(Object.values(offering.vapp.tiers).map((tier) => tier.image))].sort();
}

// --- the machine's own site -------------------------------------------------------------------------------------------------

export async function localSiteUp(options: DemoSiteOptions): Promise<DemoSite> {
  const { home, background, say } = options;
  const socket = await agentEnsure(home, background);
  return {
    site: { name: "local", kind: "own", location: "this machine", fabric: { kind: "linux", config: { socket } } },
    endpoints: async () => {
      const { libvirt, lxd } = await bringUp(socket, say);
      return [
        { name: "libvirt-local", site: "local", provider: "libvirt", config: libvirt },
        { name: "lxd-local", site: "local", provider: "lxd", config: lxd },
      ];
    },
    images: () => Promise.all(imagesOf(options.offering).map((name) => build(home, socket, name, say))),
  };
}

/** Stops the site's daemons. `keepData` leaves their disks and caches for the next time. */
export async function localSiteDown(options: Pick<DemoSiteOptions, "home" | "background" | "say">, keepData: boolean): Promise<void> {
  const { home, background, say } = options;
  if (!existsSync(join(home, "agent"))) return;
  // A site can only be taken down by its agent, so one that died is started again for it.
  const socket = await agentEnsure(home, background);
  const path = keepData ? "/v1/site?keep=data" : "/v1/site";
  await agentStream({ socket, method: "DELETE", path, timeoutMs: siteTimeoutMs, onPhase: (phase) => say(`site: ${phase}`) });
  await background.stop("agent", startTimeoutMs);
}

/** Configuration of the site's two endpoints, as their providers take it. */
interface SiteEndpoints {
  readonly libvirt: NamedEndpoint["config"];
  readonly lxd: NamedEndpoint["config"];
}

async function bringUp(socket: string, say: (line: string) => void): Promise<SiteEndpoints> {
  const onPhase = (phase: string) => say(`site: ${phase}`);
  const call = { socket, method: "PUT", path: "/v1/site", body: {}, timeoutMs: siteTimeoutMs, onPhase } as const;
  const { site } = await agentStream<{ site: { endpoints: SiteEndpoints } }>(call);
  return site.endpoints;
}

async function build(home: string, socket: string, name: string, say: (line: string) => void): Promise<NamedImage> {
  const recipe = ownFile(`images/${name}`);
  if (!existsSync(recipe)) throw new AppError("not_found", `there is no recipe for image ${name}`);
  const onPhase = (phase: string) => say(`image ${name}: ${phase}`);
  const body = { recipe, cacheDir: join(home, "images") };
  const call = { socket, method: "POST", path: "/v1/images/build", body, timeoutMs: buildTimeoutMs, onPhase } as const;
  const { image } = await agentStream<{ image: Schemas["ImagePut"] }>(call);
  const { recipeHash, variants } = image;
  return { name, recipeHash, variants: variants.map(({ format, digest, sizeBytes, path }) => ({ format, digest, sizeBytes, path })) };
}

/** Starts the agent unless it runs; its socket. */
async function agentEnsure(home: string, background: Background): Promise<string> {
  const folder = join(home, "agent");
  const socket = join(folder, "agent.sock");
  const args = [ownProgram("agent/main"), "--home", folder, "--site", demoSiteName(home)];
  await background.ensure("agent", args, () => answers(socket, "/v1/health"), startTimeoutMs);
  return socket;
}

/** Namespaces are named after it, so two installations on one machine need two names; the same home always has the same. */
export function demoSiteName(home: string): string {
  return `local-${createHash("sha256").update(home).digest("hex").slice(0, 6)}`;
}

async function answers(socket: string, path: string): Promise<boolean> {
  return unixRequest({ socket, method: "GET", path, timeoutMs: 1_000 }).then(
    ({ status }) => status === 200,
    () => false,
  );
}

// --- the simulation ---------------------------------------------------------------------------------------------------------

export async function simSiteUp(options: DemoSiteOptions): Promise<DemoSite> {
  const { home, background } = options;
  const socket = simSocket(home);
  const args = [ownProgram("providers/sim/main"), "--journal", join(home, "sim.journal"), "--socket", socket];
  await background.ensure("sim", args, async () => existsSync(socket), startTimeoutMs);
  return {
    site: { name: "sim", kind: "own", location: "simulated", fabric: { kind: "sim", config: { socket } } },
    endpoints: async () => [{ name: "sim-a", site: "sim", provider: "sim", config: { socket, endpoint: "a" } }],
    images: async () => imagesOf(options.offering).map(simulatedImage),
  };
}

function simulatedImage(name: string): NamedImage {
  const digest = createHash("sha256").update(name).digest("hex");
  return { name, recipeHash: "simulated", variants: [{ format: "sim", digest, sizeBytes: 0, path: null }] };
}

export async function simSiteDown(options: Pick<DemoSiteOptions, "home" | "background">): Promise<void> {
  await options.background.stop("sim", startTimeoutMs);
  rmSync(simSocket(options.home), { force: true });
}

function simSocket(home: string): string {
  return join(home, "sim.sock");
}
