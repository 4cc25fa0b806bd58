/** Takes down sites whose test process was killed before it could: the next test that makes a site does it for the dead one. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processIdentify, processIsAlive } from "#lib/process-identity.ts";
import type { ProcessIdentity } from "#lib/process-identity.ts";

export const siteFolderPrefix = "strat-site-";
const ownerFile = "test-process.json";

interface SiteOwner {
  readonly site: string;
  readonly process: ProcessIdentity;
}

/** Writes down who will take the site in `home` down. */
export async function siteOwnerWrite(home: string, site: string): Promise<void> {
  const owner: SiteOwner = { site, process: (await processIdentify(process.pid))! };
  await writeFile(join(home, ownerFile), JSON.stringify(owner));
}

/** Calls `takeDown` for each site without a living owner, then removes its folder. */
export async function sitesSweep(takeDown: (home: string, site: string) => Promise<void>): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const home = join(tmpdir(), name);
    const text = name.startsWith(siteFolderPrefix) ? await readFile(join(home, ownerFile), "utf8").catch(() => null) : null;
    if (text === null) continue;
    const owner = JSON.parse(text) as SiteOwner;
    if (await processIsAlive(owner.process)) continue;
    // Removed first, so that two sweepers do not work on the same site.
    if (
      await rm(join(home, ownerFile)).then(
        () => false,
        () => true,
      )
    )
      continue;
    await takeDown(home, owner.site);
    await rm(home, { recursive: true, force: true });
  }
}
