/** Plans: what a change would do, shown before anything is done. */
import type { Command } from "commander";
import { ask, type Schemas } from "#sdk/client.ts";
import { collectPair, jsonValue, withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { faint, type Session, state, strong } from "#cli/session.ts";
import { amount, plural, rate, table } from "#cli/text.ts";

export type Plan = Schemas["Plan"];
export type PlanRequest = Schemas["PlanRequest"];

export interface ChangeOptions {
  readonly name?: string;
  readonly set?: Record<string, string>;
  readonly site?: string;
  readonly project?: string;
  readonly vapp?: string;
  readonly action?: string;
  readonly input?: unknown;
}

/** Options that say what is to be changed; `plan` and `order` have the same. */
export function addChangeOptions(command: Command): Command {
  return command
    .option("--name <name>", "name of the new vApp; default: the offering's")
    .option("--set <name=value>", "a parameter of the offering; may be repeated", collectPair)
    .option("--site <site>", "where; default: placement decides")
    .option("--project <project>", "who pays; default: default")
    .option("--action <process>", "another process than deploy: delete, start, stop, repair, ...")
    .option("--vapp <vapp>", "the vApp such a process changes")
    .option("--input <json>", "input of such a process", jsonValue);
}

export function registerPlan(program: Command): void {
  const plan = addChangeOptions(program.command("plan [offering]").description("say what a change would do, and do nothing"));
  plan.action(
    withSession(async (session, offering: string | undefined, options: ChangeOptions) => {
      const made = await makePlan(session, changeOf(offering, options));
      session.show(made, () => `${planText(made)}\n\n${faint(`order it:  strat order --plan ${made.id} --hash ${made.hash}`)}`);
    }),
  );
  plan
    .command("show <plan>")
    .description("show a plan made before")
    .action(
      withSession(async (session, id: string) => {
        const shown = await readPlan(session, id);
        session.show(shown, () => planText(shown));
      }),
    );
}

/** The request that options stand for: a deployment of an offering, or a process on a vApp. */
export function changeOf(offering: string | undefined, options: ChangeOptions): PlanRequest {
  const project = options.project === undefined ? {} : { project: options.project };
  if (options.action === undefined || options.action === "deploy") {
    if (offering === undefined)
      throw new CliError(exitCodes.usage, "name an offering (see strat offering ls), or a process with --action and --vapp");
    const parameters = options.set === undefined ? {} : { parameters: options.set };
    const { name, site } = options;
    return {
      action: "deploy",
      ...project,
      input: { offering, name: name ?? offering.split("@")[0]!, ...parameters, ...(site === undefined ? {} : { site }) },
    };
  }
  if (options.vapp === undefined) throw new CliError(exitCodes.usage, `--action ${options.action} needs --vapp`);
  return { action: options.action, vapp: options.vapp, ...project, input: (options.input ?? options.set ?? {}) as Record<string, unknown> };
}

export function makePlan(session: Session, request: PlanRequest): Promise<Plan> {
  return ask(session.client.POST("/v1/plans", { body: request }));
}

export function readPlan(session: Session, id: string): Promise<Plan> {
  return ask(session.client.GET("/v1/plans/{plan}", { params: { path: { plan: id } } }));
}

export function planText(plan: Plan): string {
  const parts = [`${strong(plan.summary)}  ${faint(plan.id)}`];
  if (plan.placements.length > 0 && plan.action === "deploy") {
    parts.push(
      table(plan.placements, [
        { title: "MACHINE", of: ({ machine }) => machine },
        { title: "KIND", of: ({ kind }) => kind },
        { title: "ENDPOINT", of: ({ endpoint }) => endpoint },
        { title: "WHY", of: ({ reason }) => reason },
      ]),
    );
  }
  parts.push(stepsText(plan));
  const { cost } = plan;
  const change = (before: string, after: string) => (before === after ? amount(after) : `${amount(before)} -> ${amount(after)}`);
  const quota = plan.quota.filter(({ before, after }) => before !== after);
  parts.push(
    [
      `cost      ${change(cost.perMonthBefore, cost.perMonthAfter)} ${cost.currency} a month (${change(rate(cost.perHourBefore), rate(cost.perHourAfter))} an hour)`,
      ...(quota.length === 0
        ? []
        : [`quota     ${quota.map((one) => `${one.dimension} ${one.before} -> ${one.after} of ${one.quota}`).join(", ")}`]),
      ...plan.policy.map(({ action, decision, reason }) => `policy    ${state(decision)} ${action} ${faint(`(${reason})`)}`),
      `downtime  ${plan.downtimeSeconds === 0 ? "none" : `${plan.downtimeSeconds} s`}, ${plan.reversible ? "undone if it fails" : "cannot be undone"}`,
    ].join("\n"),
  );
  return parts.join("\n\n");
}

const listedSteps = 30;

function stepsText(plan: Plan): string {
  const lines = plan.steps.slice(0, listedSteps).map((step, i) => `${String(i + 1).padStart(3)}. ${step.title}`);
  const rest = plan.steps.length - lines.length;
  return [...lines, ...(rest > 0 ? [`     and ${plural(rest, "more step")}`] : [])].join("\n");
}
