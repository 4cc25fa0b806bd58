/**
 * `strat demo`: a cloud on this machine from nothing, one vApp in it, and the proof from outside that it answers. It does what a
 * person would do with the documented commands: control plane up, site up, images built, catalogue filled, order placed. Everything is
 * an `ensure`, so it can be repeated, and it goes on where an earlier one was interrupted.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { AppError } from "#domain/error.ts";
import { parseOffering, type Offering } from "#domain/blueprint.ts";
import { parse as parseYaml } from "yaml";
import { Background } from "#cli/local/background.ts";
import { ask, makeClient, ProblemError, type Schemas, type StratiformClient } from "#sdk/client.ts";
import { stopDatabase } from "#main.ts";
import {
  localSiteDown,
  localSiteUp,
  simSiteDown,
  simSiteUp,
  type DemoSite,
  type NamedEndpoint,
  type NamedImage,
} from "#cli/local/demo-site.ts";
import { ownFile, ownProgram } from "#lib/own-file.ts";

export interface DemoOptions {
  readonly home: string;
  readonly offering: string;
  readonly site: "local" | "sim";
  readonly port: number;
  /** The command that takes it all away again. */
  readonly remove: string;
  /** Where progress goes, a line at a time. */
  readonly say: (line: string) => void;
}

export interface DemoResult {
  readonly url: string;
  /** Where the console is, and the file with the token it asks for. */
  readonly console: { readonly url: string; readonly tokenFile: string };
  readonly vapp: string;
  readonly plan: string;
  readonly machines: readonly { name: string; kind: string; endpoint: string; reason: string; address: string }[];
  readonly costPerHour: string;
  readonly currency: string;
  readonly phases: readonly { name: string; seconds: number }[];
  /** The command that takes it away again. */
  readonly remove: string;
  /** How many steps the plan had. */
  readonly steps: number;
  /** What the application answered: as many different answers as it has servers, when it says who they are. */
  readonly answers: readonly string[];
}

export interface DemoLeft {
  /** What is still there, with sizes in bytes. */
  readonly kept: readonly { readonly path: string; readonly bytes: number }[];
}

const startTimeoutMs = 60_000;
const runTimeoutMs = 600_000;
const proofTimeoutMs = 30_000;
const pollMs = 150;

export async function demoUp(options: DemoOptions): Promise<DemoResult> {
  const phases = new Phases(options.say);
  const background = new Background(options.home);
  const offering = readOffering(options.offering);
  const siteUp = options.site === "sim" ? simSiteUp : localSiteUp;
  const say = options.say;
  const control = phases.time("control plane", () => controlPlane(options, background));
  const site = await phases.time(options.site === "sim" ? "simulation" : "agent", () =>
    siteUp({ home: options.home, background, offering, say }),
  );
  // The first look at an endpoint takes as long as building images, so everything goes on side by side.
  const [api, , images] = await Promise.all([
    control,
    phases.time("site", async () => registerSite(site, await site.endpoints(), await control)),
    phases.time("images", () => site.images()),
  ]);
  await registerCatalogue(api, offering, images);
  const vapp = await phases.time("deploy", () => deployed(api, offering, site.site.name, say));
  const url = vapp.exposures[0]?.url;
  if (url == null) throw new AppError("internal", `${vapp.name} exposes nothing`);
  const answers = await phases.time("proof from outside", () => answered(url));
  const { items: orders } = await ask(api.GET("/v1/orders", { params: { query: { vapp: vapp.id, limit: 500 } } }));
  const order = orders.find(({ action }) => action === "deploy");
  const run = order === undefined ? null : await ask(api.GET("/v1/runs/{run}", { params: { path: { run: order.run } } }));
  return {
    url,
    console: { url: controlPlaneUrl(options.home), tokenFile: join(options.home, "admin.token") },
    vapp: vapp.name,
    plan: order?.plan ?? "",
    machines: vapp.machines.map(({ name, kind, endpoint, reason, addresses }) => ({
      name,
      kind,
      endpoint,
      reason,
      address: addresses[0]?.address ?? "",
    })),
    costPerHour: vapp.costPerHour,
    currency: vapp.currency,
    phases: phases.done,
    remove: options.remove,
    steps: run?.steps.length ?? 0,
    answers,
  };
}

/** Deletes the vApp and stops what the demo started. Ledger, audit and the image cache stay. */
export async function demoDown(options: DemoOptions): Promise<DemoLeft> {
  const { home, say } = options;
  const background = new Background(home);
  if (existsSync(join(home, "postgres"))) await deleteVapp(options, background);
  await stopEverything(options, background, true);
  say("stopped; ledger, audit and image cache are kept");
  return {
    kept: ["postgres", "images", "agent", "sim.journal", "secret.key", "admin.token", "log"]
      .map((name) => join(home, name))
      .filter(existsSync)
      .map(sized),
  };
}

/** Leaves nothing: the site with all its guests, processes, and the home folder. */
export async function demoPurge(options: DemoOptions): Promise<DemoLeft> {
  const { home, say } = options;
  if (!existsSync(home)) return { kept: [] };
  if (!existsSync(join(home, "run")) && readdirSync(home).length > 0) {
    throw new AppError("conflict", `${home} was not made by the demo`, {
      detail: [{ constraint: "only a folder the demo made is removed", source: home, nearest: "name the folder with --home" }],
    });
  }
  await stopEverything(options, new Background(home), false);
  rmSync(home, { recursive: true, force: true });
  say(`removed ${home}`);
  return { kept: [] };
}

async function deleteVapp(options: DemoOptions, background: Background): Promise<void> {
  const { home, say } = options;
  // What is deleted must answer: a site that was stopped or killed comes up for it.
  const offering = readOffering(options.offering);
  if (existsSync(join(home, "sim.journal"))) await simSiteUp({ home, background, offering, say });
  if (existsSync(join(home, "agent"))) await (await localSiteUp({ home, background, offering, say })).endpoints();
  const api = await controlPlane(options, background);
  const vapp = await findVapp(api, offering.offering);
  if (vapp === null) return;
  const order = await ask(api.POST("/v1/orders", { body: { action: "purge", vapp: vapp.id, input: {} } }));
  const run = await follow(api, order.run, say);
  if (run.state !== "succeeded") throw new AppError("conflict", `${vapp.name} could not be deleted`, { detail: failuresOf(run) });
}

async function stopEverything(options: DemoOptions, background: Background, keepData: boolean): Promise<void> {
  const { home, say } = options;
  if (await background.stop("control-plane", startTimeoutMs)) say("control plane: stopped");
  await simSiteDown({ home, background });
  await localSiteDown({ home, background, say }, keepData);
  // A control plane that was killed leaves its database running.
  await stopDatabase(home);
}

async function controlPlane({ home, port, say }: DemoOptions, background: Background): Promise<StratiformClient> {
  const main = ownProgram("cli/main");
  const where = join(home, "control.json");
  const started = await background.ensure(
    "control-plane",
    [main, "up", "--home", home, "--port", String(port)],
    () => healthy(where),
    startTimeoutMs,
  );
  if (started) say("control plane: up");
  return makeClient({ url: controlPlaneUrl(home), token: readFileSync(join(home, "admin.token"), "utf8").trim() });
}

function controlPlaneUrl(home: string): string {
  return (JSON.parse(readFileSync(join(home, "control.json"), "utf8")) as { url: string }).url;
}

async function healthy(where: string): Promise<boolean> {
  if (!existsSync(where)) return false;
  const { url } = JSON.parse(readFileSync(where, "utf8")) as { url: string };
  return fetch(`${url}/healthz`, { signal: AbortSignal.timeout(2_000) }).then(
    ({ ok }) => ok,
    () => false,
  );
}

async function registerSite({ site }: DemoSite, endpoints: readonly NamedEndpoint[], api: StratiformClient): Promise<void> {
  const { name, ...rest } = site;
  await ask(api.PUT("/v1/sites/{site}", { params: { path: { site: name } }, body: rest }));
  await Promise.all(
    endpoints.map(({ name: endpoint, ...body }) => ask(api.PUT("/v1/endpoints/{endpoint}", { params: { path: { endpoint } }, body }))),
  );
}

async function registerCatalogue(api: StratiformClient, offering: Offering, images: readonly NamedImage[]): Promise<void> {
  await Promise.all(images.map(({ name: image, ...body }) => ask(api.PUT("/v1/images/{image}", { params: { path: { image } }, body }))));
  await ask(api.POST("/v1/offerings", { body: offering as unknown as Schemas["OfferingDocument"] }));
}

/** Null when there is no living vApp of that name. */
async function findVapp(api: StratiformClient, vapp: string): Promise<Schemas["Vapp"] | null> {
  return ask(api.GET("/v1/vapps/{vapp}", { params: { path: { vapp } } })).catch((error: unknown) => {
    if (error instanceof ProblemError && error.problem.code === "not_found") return null;
    throw error;
  });
}

/** The running vApp: found, started or repaired when it is not well, or deployed. */
async function deployed(api: StratiformClient, offering: Offering, site: string, say: (line: string) => void): Promise<Schemas["Vapp"]> {
  const name = offering.offering;
  const found = await findVapp(api, name);
  // Interrupted earlier: what is under way is waited for first.
  if (found?.run != null) await follow(api, found.run, say);
  const now = found?.run == null ? found : await findVapp(api, name);
  if (now?.state === "active") return now;
  const order = now === null ? await orderDeploy(api, { offering: name, site }, say) : await orderAgain(api, now);
  const run = await follow(api, order.run, say);
  if (run.state !== "succeeded") throw new AppError("conflict", `${name} was not deployed`, { detail: failuresOf(run) });
  return ask(api.GET("/v1/vapps/{vapp}", { params: { path: { vapp: order.vapp } } }));
}

function orderAgain(api: StratiformClient, vapp: Schemas["Vapp"]): Promise<Schemas["Order"]> {
  return ask(api.POST("/v1/orders", { body: { action: vapp.desired === "stopped" ? "start" : "repair", vapp: vapp.id, input: {} } }));
}

async function orderDeploy(
  api: StratiformClient,
  input: { offering: string; site: string },
  say: (line: string) => void,
): Promise<Schemas["Order"]> {
  const plan = await ask(api.POST("/v1/plans", { body: { action: "deploy", input } }));
  say(`plan: ${plan.summary}, ${plan.steps.length} steps, ${plan.cost.perMonthAfter} ${plan.cost.currency} a month`);
  return ask(api.POST("/v1/orders", { body: { plan: plan.id, hash: plan.hash } }));
}

/** Says each step as it settles and returns the run when it has ended. */
async function follow(api: StratiformClient, id: string, say: (line: string) => void): Promise<Schemas["Run"]> {
  const until = Date.now() + runTimeoutMs;
  const told = new Map<string, string>();
  for (;;) {
    const run = await ask(api.GET("/v1/runs/{run}", { params: { path: { run: id } } }));
    for (const step of run.steps) {
      if (told.get(step.id) === step.state || step.state === "pending" || step.state === "running") continue;
      told.set(step.id, step.state);
      say(`${step.state === "ok" ? "done" : step.state}: ${step.title}`);
    }
    if (run.finishedAt !== null) return run;
    if (Date.now() > until) throw new AppError("timeout", `run ${id} has not ended after ${runTimeoutMs / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function failuresOf(run: Schemas["Run"]): { constraint: string; source: string; nearest: string }[] {
  return run.steps
    .filter((step) => step.error !== null)
    .map((step) => ({
      constraint: `${step.title}: ${step.error!.message}`,
      source: `run ${run.id}, step ${step.id}`,
      nearest: `see log/control-plane.log in the home folder, lines with ${run.id}, then try again`,
    }));
}

/** Asked this often: a balancer with two servers shows both. */
const proofRequests = 6;
const proofAnswers = 3;

/** The application itself, from outside: different answers in the order they came. The first may take a moment after the exposure stands. */
async function answered(url: string): Promise<string[]> {
  const answers = new Set<string>();
  for (let request = 0; request < proofRequests && answers.size < proofAnswers; request++) answers.add(await answerOf(url));
  return [...answers];
}

async function answerOf(url: string): Promise<string> {
  const until = Date.now() + proofTimeoutMs;
  for (;;) {
    const text = await fetch(url, { signal: AbortSignal.timeout(5_000) }).then(
      async (response) => (response.ok ? await response.text() : null),
      () => null,
    );
    if (text !== null) return text.trim().slice(0, 2_000);
    if (Date.now() > until) throw new AppError("timeout", `${url} does not answer`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

function readOffering(name: string): Offering {
  const folder = ownFile("offerings");
  const path = join(folder, `${name}.yaml`);
  if (/^[a-z][a-z0-9-]*$/.test(name) && existsSync(path)) return parseOffering(parseYaml(readFileSync(path, "utf8")));
  const names = readdirSync(folder).flatMap((file) => (file.endsWith(".yaml") ? [file.slice(0, -".yaml".length)] : []));
  throw new AppError("not_found", `there is no offering "${name}"`, {
    detail: [
      { constraint: "the demo deploys an offering of this clone", source: "offerings/", nearest: `use one of: ${names.join(", ")}` },
    ],
  });
}

function sized(path: string): { path: string; bytes: number } {
  const size = (file: string): number => {
    const stat = lstatSync(file);
    // What it takes on the disk: pools are sparse files.
    return stat.isDirectory() ? readdirSync(file).reduce((sum, name) => sum + size(join(file, name)), 0) : stat.blocks * 512;
  };
  return { path, bytes: size(path) };
}

/** Seconds of each phase, in the order they ended. */
class Phases {
  readonly done: { name: string; seconds: number }[] = [];
  readonly #say: (line: string) => void;
  constructor(say: (line: string) => void) {
    this.#say = say;
  }
  async time<T>(name: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    const result = await work();
    const seconds = Math.round((performance.now() - started) / 10) / 100;
    this.done.push({ name, seconds });
    this.#say(`${name}: ${seconds} s`);
    return result;
  }
}
