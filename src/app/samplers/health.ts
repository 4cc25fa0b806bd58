/**
 * Sampler of health: asks every machine that has a health check, from outside, whether it answers. What runs but does not answer several
 * times in a row is hung (or lost the configuration it kept in memory): shown, told as an event, and left to the repair reconciler.
 *
 * Only what could be asked is judged: a fabric that does not answer says nothing about the machines behind it. Machines of a vApp that a
 * run holds are the run's. How often a machine failed is kept in memory: a new leader counts anew, and is late by a few seconds at most.
 */
import type { CallContext } from "#domain/context.ts";
import { formatId } from "#domain/id.ts";
import { checkHealth, healthTarget } from "#app/health-check.ts";
import type { Platform } from "#app/context.ts";
import { newId } from "#app/new-id.ts";
import { isWell } from "#app/run-finish.ts";
import type { Fabric } from "#fabric/contract.ts";
import { eachBounded } from "#lib/bounded.ts";
import { transact, type Tx } from "#store/database.ts";
import { eventInsert } from "#store/event.ts";
import { healthSubjects, machinesSeenWell, type HealthSubject } from "#store/health.ts";
import { factPutMany, machineList, machineUpdate, vappLock, vappUpdate } from "#store/vapp.ts";

export const healthLimits = {
  /** Machines looked at in one round. */
  machines: 10_000,
  atOnce: 32,
  /** For one machine to answer. */
  checkMs: 2_000,
  /** For the fabric to say that it is there, when machines behind it do not answer. */
  fabricMs: 2_000,
  /** Failures in a row after which a machine is hung. */
  failures: 3,
  /** A fact that has not changed is written again after this long, so that its age says that somebody looks. */
  refreshMs: 8_000,
  machinesPerTransaction: 200,
} as const;

interface Answer {
  readonly subject: HealthSubject;
  readonly at: number;
  /** Null: it answered. */
  readonly failure: string | null;
}

export class HealthSampler {
  readonly #platform: Platform;
  /** Failures in a row of machines that failed last. */
  #failing: ReadonlyMap<string, number> = new Map();

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  async round(ctx: CallContext): Promise<void> {
    const subjects = await healthSubjects(this.#platform.database, healthLimits.machines);
    const answers = await this.#ask(ctx, subjects);
    await this.#refresh(ctx, answers);
    const failing = new Map<string, number>();
    for (const answer of answers) {
      const { subject } = answer;
      if (answer.failure === null) {
        if (subject.known === "unhealthy") await this.#turn(ctx, answer);
        continue;
      }
      const failures = (this.#failing.get(subject.id) ?? 0) + 1;
      failing.set(subject.id, failures);
      // Said again from time to time: while it stays so, its age says that somebody looks.
      if (failures >= healthLimits.failures && isDue(answer, "unhealthy")) await this.#turn(ctx, answer);
    }
    this.#failing = failing;
  }

  /** One answer of every machine that could be asked. */
  async #ask(ctx: CallContext, subjects: readonly HealthSubject[]): Promise<Answer[]> {
    const answers: Answer[] = [];
    await eachBounded(subjects, healthLimits.atOnce, async (subject) => {
      const at = ctx.clock.now();
      answers.push({ subject, at, failure: await this.#check(ctx, subject) });
    });
    ctx.signal.throwIfAborted();
    const doubtful = new Set(answers.filter(({ failure }) => failure !== null).map(({ subject }) => subject.site_id));
    const silent = new Set<string>();
    for (const site of doubtful) {
      if (await this.#fabricAnswers(ctx, site)) continue;
      silent.add(site);
      ctx.log.debug({ site }, "the fabric does not answer: nothing is known of the machines behind it");
    }
    return answers.filter(({ subject, failure }) => failure === null || !silent.has(subject.site_id));
  }

  async #check(ctx: CallContext, subject: HealthSubject): Promise<string | null> {
    const limit = AbortSignal.timeout(healthLimits.checkMs);
    const own = { ...ctx, signal: AbortSignal.any([ctx.signal, limit]) };
    try {
      const fabric = await this.#platform.endpoints.fabric(subject.site_id);
      await checkHealth(own, fabric, healthTarget(subject.health, subject.segment, subject.address), subject.health);
      return null;
    } catch (error) {
      return limit.aborted ? `no answer in ${healthLimits.checkMs} ms` : error instanceof Error ? error.message : String(error);
    }
  }

  async #fabricAnswers(ctx: CallContext, siteId: string): Promise<boolean> {
    try {
      const fabric: Fabric = await this.#platform.endpoints.fabric(siteId);
      await fabric.segmentList({ ...ctx, signal: AbortSignal.any([ctx.signal, AbortSignal.timeout(healthLimits.fabricMs)]) });
      return true;
    } catch {
      return false;
    }
  }

  /** Machines that are well and whose fact is missing or grew old, a few hundred at a time. */
  async #refresh(ctx: CallContext, answers: readonly Answer[]): Promise<void> {
    const due = answers
      .filter((answer) => answer.failure === null && answer.subject.known !== "unhealthy" && isDue(answer, "healthy"))
      .toSorted((a, b) => (a.subject.id < b.subject.id ? -1 : 1));
    for (let from = 0; from < due.length; from += healthLimits.machinesPerTransaction) {
      const some = due.slice(from, from + healthLimits.machinesPerTransaction);
      // The earliest of them: nothing is claimed to be younger than it is.
      const at = new Date(Math.min(...some.map((answer) => answer.at)));
      await transact(this.#platform.database, ctx, async (tx) => {
        const well = await machinesSeenWell(
          tx,
          some.map(({ subject }) => subject.id),
          at,
        );
        await healthFacts(tx, [...well], "healthy", at);
      });
    }
  }

  /** A machine became unhealthy, still is, or is well again. What a run or another look learned meanwhile counts more. */
  async #turn(ctx: CallContext, { subject, at, failure }: Answer): Promise<void> {
    await transact(this.#platform.database, ctx, async (tx) => {
      const vapp = await vappLock(tx, subject.vapp_id);
      if (vapp === undefined || vapp.run_id !== null || vapp.deleted_at !== null) return;
      const machines = await machineList(tx, [vapp.id]);
      const machine = machines.find(({ id }) => id === subject.id);
      if (machine === undefined || machine.state !== "running" || machine.desired !== "running") return;
      if (machine.state_at.getTime() >= at || (machine.healthy_at?.getTime() ?? 0) >= at) return;
      const [state, seen] = [failure === null ? "healthy" : "unhealthy", new Date(at)] as const;
      // The machine before its facts, as samplers lock them.
      const changes = (machine.unhealthy_since === null) === (failure !== null);
      const set = failure === null ? { healthy_at: seen, unhealthy_since: null } : { healthy_at: null, unhealthy_since: seen };
      if (changes) await machineUpdate(tx, machine.id, set);
      await healthFacts(tx, [machine.id], state, seen);
      if (!changes) return;
      if (vapp.state === "active" || vapp.state === "degraded") {
        const well = machines.every((row) => isWell(row.id === machine.id ? { ...row, ...set } : row));
        await vappUpdate(tx, vapp.id, { state: well ? "active" : "degraded" });
      }
      await eventInsert(tx, {
        id: newId("machine", ctx.clock),
        organizationId: vapp.organization_id,
        vappId: vapp.id,
        type: `machine.${state}`,
        subject: formatId("machine", machine.id),
        data: { machine: machine.name, source: "probe", ...(failure === null ? {} : { reason: failure, failures: healthLimits.failures }) },
      });
    });
  }
}

function healthFacts(tx: Tx, ids: readonly string[], value: "healthy" | "unhealthy", at: Date): Promise<void> {
  const fact = { layer: "application", name: "health", value, source: "probe" } as const;
  return factPutMany(
    tx,
    ids.map((subjectId) => ({ subjectId, fact })),
    at,
  );
}

/** Whether what is known is not this, or was seen too long ago. */
function isDue({ subject, at }: Answer, value: string): boolean {
  return subject.known !== value || subject.known_at === null || at - subject.known_at.getTime() >= healthLimits.refreshMs;
}
