/** Recomputes quota balances from live objects (I1). A difference is a defect of ours: it is corrected, and logged as an error. */
import type { CallContext } from "#domain/context.ts";
import type { Platform } from "#app/context.ts";
import { transact } from "#store/database.ts";
import { projectsAll, quotaLock, quotaSet } from "#store/installation.ts";
import { takenByProject } from "#store/vapp.ts";

export async function reconcileQuota(platform: Platform, ctx: CallContext): Promise<void> {
  for (const project of await projectsAll(platform.database)) {
    await transact(platform.database, ctx, async (tx) => {
      const balances = await quotaLock(tx, project.id);
      const taken = await takenByProject(tx, project.id);
      for (const { dimension, used, quota } of balances) {
        const actual = taken[dimension];
        if (actual === undefined || actual === used) continue;
        ctx.log.error({ project: project.name, dimension, used, actual }, "a quota balance was wrong and is corrected");
        await quotaSet(tx, project.id, dimension, Math.min(actual, quota));
      }
    });
  }
}
