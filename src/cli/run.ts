/** Runs: shown once, or followed step by step until they end. */
import type { Command } from "commander";
import { ask, ProblemError, type Schemas, UnreachableError } from "#sdk/client.ts";
import { allPages, wholeNumber, withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { showProgress } from "#cli/progress.ts";
import { faint, type Session, state, strong } from "#cli/session.ts";
import { age, duration, table } from "#cli/text.ts";

export type Run = Schemas["Run"];

const pollMs = 200;
/** A control plane may be restarted under us: the run goes on without us, so we wait for the answer, too. */
const outagePatienceMs = 120_000;
const endStates: readonly string[] = ["succeeded", "compensated", "failed"];

const listedRuns = 20;

export function registerRun(program: Command): void {
  const run = program.command("run").description("executions of plans");
  run
    .command("ls")
    .description("list runs, newest first")
    .option("--vapp <vapp>", "only of this vApp")
    .option("--limit <n>", "how many", wholeNumber, listedRuns)
    .action(
      withSession(async (session, options: { vapp?: string; limit: number }) => {
        const orders = await allPages(options.limit, (after, limit) => {
          const from = after === undefined ? {} : { after };
          const of = options.vapp === undefined ? {} : { vapp: options.vapp };
          return ask(session.client.GET("/v1/orders", { params: { query: { limit, ...from, ...of } } }));
        });
        session.show(orders, () => listText(orders, Date.now()));
      }),
    );
  run
    .command("show <run>")
    .description("show a run with the state of every step")
    .option("--wait", "follow it until it ends")
    .action(
      withSession(async (session, id: string, options: { wait?: boolean }) => {
        const shown = options.wait === true ? await followRun(session, id) : await readRun(session, id);
        session.show(shown, () => runText(shown));
        if (options.wait === true) checkOutcome(shown);
      }),
    );
  run
    .command("cancel <run>")
    .description("ask a run to stop and undo what it did")
    .action(
      withSession(async (session, id: string) => {
        const shown = await ask(session.client.POST("/v1/runs/{run}/cancel", { params: { path: { run: id } } }));
        session.show(shown, () => `${id}: asked to stop; follow it with strat run show ${id} --wait`);
      }),
    );
  registerDecide(run);
}

function listText(orders: readonly Schemas["Order"][], now: number): string {
  if (orders.length === 0) return "nothing was ordered yet";
  return table(orders, [
    { title: "RUN", of: ({ run }) => run },
    { title: "STATE", of: (order) => state(order.state) },
    { title: "ORDERED", of: ({ createdAt }) => age(createdAt, now) },
    { title: "BY", of: ({ principal }) => principal },
    { title: "WHAT", of: ({ summary }) => summary },
  ]);
}

interface Decide {
  readonly confirm?: string;
  readonly refuse?: string;
  readonly step?: string;
}

function registerDecide(run: Command): void {
  run
    .command("decide <run>")
    .description("decide for a step that waits for a person; the reason stays on record")
    .option("--confirm <reason>", "what it asks is so, and how you know")
    .option("--refuse <reason>", "it is not so, and why")
    .option("--step <step>", "which step, when several wait")
    .action(
      withSession(async (session, id: string, { confirm, refuse, step }: Decide) => {
        if ((confirm === undefined) === (refuse === undefined))
          throw new CliError(exitCodes.usage, "give either --confirm or --refuse, with a reason");
        const body = {
          decision: confirm === undefined ? ("refuse" as const) : ("confirm" as const),
          reason: confirm ?? refuse!,
          ...(step === undefined ? {} : { step }),
        };
        const shown = await decided(session, id, body);
        session.show(shown, () => runText(shown));
      }),
    );
}

/** A step that looks again by itself does not wait for a moment. */
const decidePatienceMs = 30_000;

async function decided(session: Session, id: string, body: Schemas["DecisionRequest"]): Promise<Run> {
  const until = Date.now() + decidePatienceMs;
  for (;;) {
    try {
      return await ask(session.client.POST("/v1/runs/{run}/decisions", { params: { path: { run: id } }, body }));
    } catch (error) {
      const mayWaitAgain = error instanceof ProblemError && error.problem.code === "conflict" && !hasEnded(await readRun(session, id));
      if (!mayWaitAgain || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

export function readRun(session: Session, id: string): Promise<Run> {
  return ask(session.client.GET("/v1/runs/{run}", { params: { path: { run: id } } }));
}

export function hasEnded(run: Run): boolean {
  return endStates.includes(run.state);
}

/** Shows progress on stderr until the run has ended. */
export async function followRun(session: Session, id: string): Promise<Run> {
  let latest = await readRun(session, id);
  const progress = session.json ? null : showProgress(latest);
  let lastContact = Date.now();
  while (!hasEnded(latest)) {
    await new Promise((resolve) => setTimeout(resolve, pollMs));
    try {
      latest = await readRun(session, id);
      lastContact = Date.now();
      progress?.update(latest);
    } catch (error) {
      if (!isOutage(error) || Date.now() - lastContact > outagePatienceMs) {
        progress?.end();
        throw error;
      }
    }
  }
  progress?.end();
  return latest;
}

function isOutage(error: unknown): boolean {
  return error instanceof UnreachableError || (error instanceof ProblemError && error.problem.retryable);
}

/** A run that did not succeed ends the program with code 1 and the step that failed. */
export function checkOutcome(run: Run): void {
  if (run.state === "succeeded") return;
  const failed = run.steps.find((step) => step.error !== null);
  const why = failed === undefined ? "" : `: ${failed.title}: ${failed.error!.message}`;
  const end = run.state === "compensated" ? "was undone" : "failed; what is left is shown by strat vapp show";
  throw new CliError(exitCodes.failed, `${run.action} ${end}${why}\n  more      strat run show ${run.id}`);
}

export function runText(run: Run): string {
  const took = (step: Run["steps"][number]) =>
    step.startedAt === null
      ? ""
      : duration((step.finishedAt === null ? Date.now() : Date.parse(step.finishedAt)) - Date.parse(step.startedAt));
  const steps = table(run.steps, [
    { title: "STATE", of: (step) => state(step.state) },
    { title: "TOOK", of: took },
    { title: "TRIES", of: (step) => (step.attempts > 1 ? String(step.attempts) : "") },
    { title: "STEP", of: (step) => [step.title, step.error?.message, step.waiting].filter((part) => part != null).join(": ") },
  ]);
  // What an endpoint said in its own words is not for tenants: the log has it under the run's id.
  const hint = run.steps.some((step) => step.error !== null || step.attempts > 1)
    ? `\n\n${faint(`the endpoint's own words: control plane's log, lines with ${run.id}`)}`
    : "";
  return `${strong(run.action)}  ${state(run.state)}  ${faint(run.id)}\n\n${steps}${hint}`;
}
