/** Recomputes quota balances from live objects (I1). A difference is a defect of ours: it is corrected, and logged as an error. */
import type { CallContext } from "#domain/context.ts";
import { quotaDrift, recompute } from "#domain/quota.ts";
import type { Platform } from "#app/context.ts";
import { transact } from "#store/database.ts";
import { projectsAll } from "#store/installation.ts";
import { quotaLock, quotaWrite } from "#store/quota.ts";
import { takenByProject } from "#store/vapp.ts";

export async function reconcileQuota(platform: Platform, ctx: CallContext): Promise<void> {
  for (const project of await projectsAll(platform.database)) {
    await transact(platform.database, ctx, async (tx) => {
      const balance = await quotaLock(tx, project.id);
      const truth = recompute(balance.quota, [await takenByProject(tx, project.id)]);
      const drift = quotaDrift(balance, truth);
      if (drift.length === 0) return;
      ctx.log.error({ project: project.name, drift }, "quota balances were wrong and are corrected");
      await quotaWrite(tx, project.id, balance, truth);
    });
  }
}
