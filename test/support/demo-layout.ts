/** Where a demo of a home keeps its site, and how its parts are looked at with other programs than ours. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { siteLayout } from "#agent/site-layout.ts";
import { demoSiteName } from "#cli/local/demo-site.ts";

export interface DemoLayout {
  readonly libvirtSocket: string;
  readonly lxdFolder: string;
  /** Names of what the site has on the host. */
  readonly namespace: string;
  readonly uplinkInterface: string;
}

export function demoLayout(home: string): DemoLayout {
  return siteLayout(join(home, "agent"), demoSiteName(home));
}

/** Pid, as the host sees it, of the QEMU that runs this domain. The site's own pid files name pids of its namespace. */
export function qemuPid(domain: string): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const found = pids.find((pid) => commandLine(pid).includes(`guest=${domain},`));
  if (found === undefined) throw new Error(`no QEMU runs ${domain}`);
  return Number(found);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // Gone since it was listed.
  }
}

/** Files below a folder that hold the text anywhere, also in binary and sparse files (`-z` makes grep skip holes). */
export function filesWith(folder: string, text: string): string[] {
  try {
    return execFileSync("grep", ["-rlazF", "-f", "-", folder], { input: `${text}\n`, encoding: "utf8" })
      .trim()
      .split("\n");
  } catch (error) {
    if ((error as { status?: number }).status === 1) return [];
    throw error;
  }
}
