/** What was approved is what is carried out: in that project, on that vApp, at that price, from those images. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AppContext } from "#app/context.ts";
import { putImage } from "#app/image.ts";
import { placeOrder } from "#app/order.ts";
import { makePlan } from "#app/plan.ts";
import { projectById } from "#store/installation.ts";
import { startInstallation, type Installation } from "../support/installation.ts";

let installation: Installation;
let otherId: string;
beforeAll(async () => {
  installation = await startInstallation();
  otherId = await addProject("other");
});
afterAll(() => installation.close());

async function addProject(name: string): Promise<string> {
  const { sql, platform } = installation;
  const id = randomUUID();
  await sql(`insert into project (id, organization_id, name, prefix_pool) values ($1, $2, $3, '10.64.0.0/12')`, [
    id,
    platform.operatorId,
    name,
  ]);
  await sql(`insert into quota_balance (project_id, dimension, quota) select $1, dimension, quota from quota_balance`, [id]);
  return id;
}

/** A member of one project only. */
function memberOf(projectId: string): AppContext {
  const { ctx } = installation;
  return { ...ctx, actor: { ...ctx.actor, grants: [{ role: "member", projectId }] } };
}

const tiny = (name: string) => ({ offering: "tiny", name });

test("a plan for a project is carried out in that project", async () => {
  const member = memberOf(otherId);
  const plan = await makePlan(member, { action: "deploy", project: "other", input: tiny("elsewhere") });
  const order = await placeOrder(member, { plan: plan.id, hash: plan.hash });
  expect(order.project).toBe("other");
  expect(await installation.waitFor(order)).toBe("succeeded");
  expect((await projectById(installation.platform.database, otherId))!.name).toBe("other");
});

test("a deployment does not name a vApp, least of all another project's", async () => {
  expect(await installation.waitFor(await installation.order("deploy", { input: tiny("victim") }))).toBe("succeeded");
  const attack = { action: "deploy", vapp: "victim", project: "other", input: tiny("attack") };
  await expect(makePlan(memberOf(otherId), attack)).rejects.toMatchObject({ code: "forbidden" });
  await expect(placeOrder(memberOf(otherId), attack)).rejects.toMatchObject({ code: "forbidden" });
  await expect(placeOrder(installation.ctx, attack)).rejects.toMatchObject({ code: "invalid_input" });
});

test.each(["a lot", "1,000", "", "NaN", "-0.5.1"])("a cost bound of %j is refused and not taken for none", async (maxCostPerMonth) => {
  const request = { action: "deploy", input: tiny("cheap"), bounds: { maxCostPerMonth } };
  await expect(placeOrder(installation.ctx, request)).rejects.toMatchObject({ code: "invalid_input" });
});

test("a cost bound a cent below the price refuses, the price itself does not", async () => {
  const { cost } = await installation.plan("deploy", { input: tiny("priced") });
  const below = (Number(cost.perMonthAfter) - 0.01).toFixed(2);
  const order = (maxCostPerMonth: string) =>
    placeOrder(installation.ctx, { action: "deploy", input: tiny("priced"), bounds: { maxCostPerMonth } });
  await expect(order(below)).rejects.toMatchObject({ code: "bound_broken" });
  expect(await installation.waitFor(await order(cost.perMonthAfter))).toBe("succeeded");
});

test("an image that was replaced after the plan was approved is not used", async () => {
  const plan = await installation.plan("deploy", { input: tiny("swapped") });
  const image = (digest: string) =>
    putImage(installation.ctx, {
      name: "tiny-node",
      recipeHash: "test",
      variants: [{ format: "sim", digest: digest.repeat(64), sizeBytes: 1_048_576, path: null }],
    });
  await image("e");
  await expect(placeOrder(installation.ctx, { plan: plan.id, hash: plan.hash })).rejects.toMatchObject({ code: "bound_broken" });
  await image("0");
  expect(await installation.waitFor(await placeOrder(installation.ctx, { plan: plan.id, hash: plan.hash }))).toBe("succeeded");
});
