/** The verdict on a real site with vApps of offering `tiny`: virsh, LXD, ip, nft and the pool's folder against the tables, and the page. */
import type { RealInstallation } from "./real-installation.ts";
import { seenAtSite, siteProblems } from "./seen-at-site.ts";
import type { Sql } from "./sql.ts";
import { type Expected, worldProblems } from "./world-verdict.ts";

export async function realProblems({ sql, site }: RealInstallation, expected: Readonly<Record<string, Expected>>): Promise<string[]> {
  const problems = [...(await worldProblems(sql, await seenAtSite(site), expected)), ...(await siteProblems(sql, site))];
  for (const [name, is] of Object.entries(expected)) if (is === "running") problems.push(...(await pageProblems(sql, name)));
  return problems;
}

/** The page that only configured machines serve: through the exposure, the container, and by name with the token to the VM. */
async function pageProblems(sql: Sql, vapp: string): Promise<string[]> {
  const [exposure] = await sql<{ address: string; port: number }>(
    `select x.address, x.port from exposure x join vapp v on v.id = x.vapp_id where v.name = $1 and x.released_at is null`,
    [vapp],
  );
  const response = await fetch(`http://${exposure?.address}:${exposure?.port}/`, { signal: AbortSignal.timeout(10_000) });
  const text = await response.text();
  return response.ok && text.includes("node-0") ? [] : [`the page of ${vapp} is ${response.status}: ${text.slice(0, 200)}`];
}
