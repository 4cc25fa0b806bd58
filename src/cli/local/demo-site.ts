/**
 * The site of a demo: the machine's own daemons behind the agent, or the simulation. Both end in the same rows: a site, endpoints and
 * images, registered through the API like anyone's.
 */
import { createHash } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError } from "#domain/error.ts";
import type { EndpointWrite, ImageWrite, SiteWrite } from "#domain/catalogue.ts";
import type { Offering } from "#domain/blueprint.ts";
import { unixRequest, unixStream } from "#lib/unix-http.ts";
import type { Background } from "#cli/local/background.ts";

const source = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** A site whose agent (or simulation) answers. Both methods are lazy, may go on side by side, and may be repeated. */
export interface DemoSite {
  readonly site: SiteWrite;
  /** Brings the endpoints up. */
  endpoints(): Promise<readonly EndpointWrite[]>;
  /** Builds what is not cached. */
  images(): Promise<readonly ImageWrite[]>;
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
  const socket = agentSocket(home);
  await background.ensure(
    "agent",
    [source("agent/main.ts"), "--home", join(home, "agent"), "--site", agentSiteName(home)],
    () => answers(socket, "/v1/health"),
    startTimeoutMs,
  );
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
  const socket = agentSocket(home);
  // A site can only be taken down by its agent, so one that died is started again for it.
  await background.ensure(
    "agent",
    [source("agent/main.ts"), "--home", join(home, "agent"), "--site", agentSiteName(home)],
    () => answers(socket, "/v1/health"),
    startTimeoutMs,
  );
  await agentStream(socket, "DELETE", keepData ? "/v1/site?keep=data" : "/v1/site", undefined, siteTimeoutMs, (phase) =>
    say(`site: ${phase}`),
  );
  await background.stop("agent", startTimeoutMs);
}

/** Configuration of the site's two endpoints, as their providers take it. */
interface SiteEndpoints {
  readonly libvirt: EndpointWrite["config"];
  readonly lxd: EndpointWrite["config"];
}

async function bringUp(socket: string, say: (line: string) => void): Promise<SiteEndpoints> {
  const answer = (await agentStream(socket, "PUT", "/v1/site", {}, siteTimeoutMs, (phase) => say(`site: ${phase}`))) as {
    site: { endpoints: SiteEndpoints };
  };
  return answer.site.endpoints;
}

async function build(home: string, socket: string, name: string, say: (line: string) => void): Promise<ImageWrite> {
  const recipe = source(`../images/${name}`);
  if (!existsSync(recipe)) throw new AppError("not_found", `there is no recipe for image ${name}`);
  const body = { recipe, cacheDir: join(home, "images") };
  const answer = (await agentStream(socket, "POST", "/v1/images/build", body, buildTimeoutMs, (phase) =>
    say(`image ${name}: ${phase}`),
  )) as {
    image: { recipeHash: string; variants: { format: "qcow2" | "lxd"; digest: string; sizeBytes: number; path: string }[] };
  };
  const { recipeHash, variants } = answer.image;
  return { name, recipeHash, variants: variants.map(({ format, digest, sizeBytes, path }) => ({ format, digest, sizeBytes, path })) };
}

/** Reads the agent's progress lines; the last one is the answer or the error. */
async function agentStream(
  socket: string,
  method: string,
  path: string,
  body: unknown,
  timeoutMs: number,
  onPhase: (phase: string) => void,
): Promise<unknown> {
  return unixStream({ socket, method, path, timeoutMs, ...(body === undefined ? {} : { body }) }, async (response) => {
    let last: Record<string, unknown> = {};
    let rest = "";
    for await (const chunk of response) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop()!;
      for (const line of lines.filter((text) => text !== "")) {
        last = JSON.parse(line) as Record<string, unknown>;
        if (typeof last["phase"] === "string") onPhase(last["phase"]);
      }
    }
    if (rest.trim() !== "") last = JSON.parse(rest) as Record<string, unknown>;
    if ("error" in last || "code" in last)
      throw agentError((last["error"] ?? last) as { code?: string; message?: string; detail?: never[] });
    return last;
  });
}

function agentError(error: { code?: string; message?: string; detail?: never[] }): AppError {
  return new AppError("endpoint_refused", error.message ?? "the agent failed", error.detail === undefined ? {} : { detail: error.detail });
}

function agentSocket(home: string): string {
  return join(home, "agent", "agent.sock");
}

/** Namespaces are named after it, so two installations on one machine need two names; the same home always has the same. */
function agentSiteName(home: string): string {
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
  const args = [source("providers/sim/main.ts"), "--journal", join(home, "sim.journal"), "--socket", socket];
  await background.ensure("sim", args, async () => existsSync(socket), startTimeoutMs);
  return {
    site: { name: "sim", kind: "own", location: "simulated", fabric: { kind: "sim", config: { socket } } },
    endpoints: async () => [{ name: "sim-a", site: "sim", provider: "sim", config: { socket, endpoint: "a" } }],
    images: async () => imagesOf(options.offering).map(simulatedImage),
  };
}

function simulatedImage(name: string): ImageWrite {
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
