/**
 * The contract of a process: the SDK operators write against, and the one the built-in processes use.
 *
 * A process is `plan(facts, input) -> steps` (pure, run when a change is planned and again when it is ordered) plus executors per step
 * kind. The step list is a graph (`after`) and it *is* the plan: shown, priced, hashed, approved and executed exactly. Standard kinds
 * (`segment.ensure`, `machine.ensure`, `context.apply` ...) come with the core; a process may bring kinds of its own. A process with
 * the name of a built-in one replaces it.
 *
 * Executors: `do` is idempotent (it observes before it acts) because it runs again after a crash; `undo` brings the world back to
 * before `do`, also when `do` did half of its work or none. Neither touches the database: what they learn they return as `changes`,
 * which are written in one transaction with the journal. Throw AppError; retryable codes are repeated by the engine, others end the step.
 */
import type { z } from "zod";
import type { Change } from "#domain/change.ts";
import type { CallContext } from "#domain/context.ts";
import type { Json } from "#domain/json.ts";
import type { DesiredVapp, PlanFacts } from "#domain/plan.ts";
import type { WaitCondition } from "#domain/saga.ts";

/** One action of a plan. */
export interface Step {
  /** Stable and readable: `machine.ensure:node-0`. Unique in the plan. */
  readonly id: string;
  readonly kind: string;
  /** Sentence for people: "Create machine node-0 on libvirt-local". */
  readonly title: string;
  /** Parsed by the kind's schema. Names of this vApp's objects, never secrets. */
  readonly input: Json;
  /** Ids of the steps that must have succeeded before. */
  readonly after: readonly string[];
}

export interface ProcessPlan {
  readonly steps: readonly Step[];
  /** What the vApp looks like when the run has succeeded; written when the order is accepted. Absent: unchanged. */
  readonly desired?: DesiredVapp;
  /** One sentence for the order's list entry. */
  readonly summary: string;
  /** Longest time users of the vApp notice, in seconds; 0 = none. */
  readonly downtimeSeconds: number;
  /** Whether the vApp can be brought back to before with nothing lost. */
  readonly reversible: boolean;
  /** Where this plan differs from its process: what only removes goes forward. */
  readonly onFailure?: "compensate" | "stop";
}

export interface ProcessDefinition<I> {
  /** `deploy`, `vapp-rotate-keys`: [a-z][a-z0-9-]*. The action of an order. */
  readonly name: string;
  /** Semver; part of the plan's hash. */
  readonly version: string;
  readonly summary: string;
  readonly input: z.ZodType<I>;
  /** What a failed step leads to: undo everything attempted, or stop where it is (work that only goes forward, such as delete). */
  readonly onFailure: "compensate" | "stop";
  /** Pure: same facts and input, same plan. Throws AppError with refusals when the change is not possible. */
  plan(facts: PlanFacts, input: I): ProcessPlan;
  /** Step kinds of this process's own, beside the standard ones. */
  readonly stepKinds?: readonly StepKind<unknown, Json>[];
}

/** What a step changes, for plans and bounds. */
export interface StepEffect {
  readonly creates: readonly string[];
  readonly changes: readonly string[];
  readonly removes: readonly string[];
}

export interface StepResult {
  /** Kept in the journal and given to later steps. At most 64 KiB; never a secret. */
  readonly output: Json;
  readonly changes: readonly Change[];
}

/** Ends the attempt and frees everything it holds until the condition is met; then `do` is called again with `ctx.woken`. */
export interface StepWait {
  readonly wait: WaitCondition;
  readonly changes?: readonly Change[];
}

export interface ChannelReply {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StepContext extends CallContext {
  readonly runId: string;
  readonly vappId: string;
  readonly stepId: string;
  /** 1 for the first attempt in this control-plane process. */
  readonly attempt: number;
  /** What woke this step: the payload of an event, a person's decision; null after a timer, undefined when it never waited. */
  readonly woken: Json | undefined;
  /** Output of a step that already succeeded in this run, or null. */
  output(stepId: string): Json | null;
  /** Runs a command in a machine of this vApp, by its name. */
  channel(
    machine: string,
    command: { readonly argv: readonly string[]; readonly stdin?: string; readonly timeoutMs?: number },
  ): Promise<ChannelReply>;
}

/** Written as a method so that a kind of any input fits a registry of kinds; inputs are parsed before executors see them. */
export type Undo<I> = { undo(ctx: StepContext, input: I): Promise<StepResult> }["undo"];

export interface StepKind<I, O extends Json> {
  readonly kind: string;
  readonly input: z.ZodType<I>;
  effect(input: I): StepEffect;
  /** Limit of one attempt, in milliseconds. The engine caps it below the life of its heartbeat. */
  readonly attemptTimeoutMs: number;
  /** Limit of all attempts together, in milliseconds. */
  readonly deadlineMs: number;
  do(ctx: StepContext, input: I): Promise<(StepResult & { readonly output: O }) | StepWait>;
  /** Once such a step succeeded its run only goes forward, whatever fails later: what follows builds on it. Default false. */
  readonly final?: boolean;
  /** `irreversible`: nothing can bring it back; `nothing`: it left nothing behind. */
  readonly undo: Undo<I> | "irreversible" | "nothing";
}
