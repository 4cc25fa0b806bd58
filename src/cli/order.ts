/** Orders: the plan is shown, then carried out exactly, and its run followed. */
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import { ask, ProblemError, type Schemas, UnreachableError } from "#sdk/client.ts";
import { allPages, withSession, wholeNumber } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { addChangeOptions, changeOf, type ChangeOptions, makePlan, type Plan, type PlanRequest, planText, readPlan } from "#cli/plan.ts";
import { checkOutcome, followRun } from "#cli/run.ts";
import { faint, type Session, state, strong } from "#cli/session.ts";
import { age, table } from "#cli/text.ts";

export type Order = Schemas["Order"];

export interface OrderOptions {
  /** False with --no-wait. */
  readonly wait?: boolean;
  readonly yes?: boolean;
}

export function addOrderOptions(command: Command): Command {
  return command
    .option("--no-wait", "return once the order is accepted")
    .option("--wait", "follow the run until it ends (the default)")
    .option("-y, --yes", "do not ask; without a terminal nothing is asked anyway");
}

export function registerOrder(program: Command): void {
  const order = addOrderOptions(addChangeOptions(program.command("order [offering]").description("plan, show, and carry out a change")))
    .option("--plan <plan>", "a plan made before ...")
    .option("--hash <hash>", "... and the hash it showed");
  order.action(
    withSession(async (session, offering: string | undefined, options: ChangeOptions & OrderOptions & { plan?: string; hash?: string }) => {
      const plan =
        options.plan === undefined ? await makePlan(session, changeOf(offering, options)) : await readPlan(session, options.plan);
      if (options.hash !== undefined && options.hash !== plan.hash)
        throw new CliError(exitCodes.refused, `${plan.id} has another hash: ${plan.hash}`);
      await orderPlan(session, plan, options);
    }),
  );
  order
    .command("ls")
    .description("list orders, newest first")
    .option("--vapp <vapp>", "only of this vApp")
    .option("--limit <n>", "how many", wholeNumber, 50)
    .action(
      withSession(async (session, options: { vapp?: string; limit: number }) => {
        const items = await allPages(options.limit, (after, limit) =>
          ask(session.client.GET("/v1/orders", { params: { query: { ...pick(options), limit, ...(after && { after }) } } })),
        );
        session.show(items, () => ordersText(items));
      }),
    );
  order
    .command("show <order>")
    .description("show an order")
    .action(
      withSession(async (session, id: string) => {
        const shown = await ask(session.client.GET("/v1/orders/{order}", { params: { path: { order: id } } }));
        session.show(shown, () => `${ordersText([shown])}\n\nrun ${shown.run}\nplan ${shown.plan}`);
      }),
    );
}

function pick({ vapp }: { vapp?: string }): { vapp?: string } {
  return vapp === undefined ? {} : { vapp };
}

function ordersText(orders: readonly Order[]): string {
  const now = Date.now();
  return table(orders, [
    { title: "ORDER", of: ({ id }) => id },
    { title: "STATE", of: (order) => state(order.state) },
    { title: "WHEN", of: ({ createdAt }) => age(createdAt, now) },
    { title: "WHO", of: ({ principal }) => principal },
    { title: "VAPP", of: ({ vappName }) => vappName },
    { title: "WHAT", of: ({ summary }) => summary },
    { title: "RUN", of: ({ run }) => run },
  ]);
}

/** Plans a process on a vApp and orders it: `vapp delete`, `vapp stop` and so on. */
export async function orderChange(session: Session, request: PlanRequest, options: OrderOptions): Promise<void> {
  await orderPlan(session, await makePlan(session, request), options);
}

const placePatienceMs = 60_000;
const repeatMs = 500;

async function orderPlan(session: Session, plan: Plan, options: OrderOptions): Promise<void> {
  session.say(`${planText(plan)}\n`);
  if (options.yes !== true && !session.json && process.stdin.isTTY && process.stderr.isTTY) await confirm();
  const order = await place(session, plan);
  if (options.wait === false) {
    session.show(order, () => `${strong(order.vappName)}: ordered\n${faint(`follow it:  strat run show ${order.run} --wait`)}`);
    return;
  }
  const started = Date.now();
  const run = await followRun(session, order.run);
  const settled = await ask(session.client.GET("/v1/orders/{order}", { params: { path: { order: order.id } } }));
  if (session.json) session.show({ ...settled, steps: run.steps }, () => "");
  checkOutcome(run);
  if (!session.json) process.stdout.write(`${await resultText(session, settled, Date.now() - started)}\n`);
}

/** When the answer is lost the question is repeated under the same key: it is carried out once, whatever happened to the server. */
async function place(session: Session, plan: Plan): Promise<Order> {
  const header = { "Idempotency-Key": crypto.randomUUID() };
  const until = Date.now() + placePatienceMs;
  for (;;) {
    try {
      return await ask(session.client.POST("/v1/orders", { params: { header }, body: { plan: plan.id, hash: plan.hash } }));
    } catch (error) {
      const mayRepeat = error instanceof UnreachableError || (error instanceof ProblemError && error.problem.retryable);
      if (!mayRepeat || Date.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, repeatMs));
    }
  }
}

async function confirm(): Promise<void> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question("Order this? [Y/n] ").finally(() => terminal.close());
  if (!/^(y|yes|)$/i.test(answer.trim())) throw new CliError(exitCodes.refused, "nothing was ordered");
}

async function resultText(session: Session, order: Order, tookMs: number): Promise<string> {
  const took = faint(`in ${(tookMs / 1_000).toFixed(1)} s`);
  const vapp = await ask(session.client.GET("/v1/vapps/{vapp}", { params: { path: { vapp: order.vapp } } }));
  const urls = vapp.exposures.flatMap(({ url }) => (url === null ? [] : [`  ${url}`]));
  return [`${strong(vapp.name)} is ${state(vapp.state)} ${took}`, ...urls].join("\n");
}
