/** Names, folders and addresses of a site: everything that follows from the home folder and the site's name alone. */
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { AppError } from "#domain/error.ts";

/** Unix socket paths end at 107 bytes; the longest one below the home folder is LXD's. */
const homeLengthLimit = 70;
const siteNamePattern = /^[a-z][a-z0-9-]{0,39}$/;
/** A /30 for each site out of 10.99.0.0/16. */
const uplinkCount = 16_384;

export interface SiteLayout {
  readonly siteName: string;
  readonly home: string;
  /** Everything of the site that is not the agent's own: removed as a whole. */
  readonly folder: string;
  /** Named network namespace and, with the same name, the control group. */
  readonly namespace: string;
  /** Host side of the uplink; the site's side is always `up0`. */
  readonly uplinkInterface: string;
  /** Where the search for a free /30 starts. */
  readonly uplinkIndex: number;
  readonly hostUuid: string;
  readonly stateFile: string;
  readonly relaySocket: string;
  readonly libvirtFolder: string;
  readonly libvirtSocket: string;
  readonly poolFolder: string;
  readonly lxdFolder: string;
  readonly lxdSocket: string;
}

export function siteLayout(homeFolder: string, siteName: string): SiteLayout {
  const home = resolve(homeFolder);
  if (!siteNamePattern.test(siteName)) throw new AppError("invalid_input", `"${siteName}" is not a name for a site: ${siteNamePattern}`);
  if (!/^[\w./-]+$/.test(home) || home.length > homeLengthLimit || home.startsWith("/run/")) {
    throw new AppError("invalid_input", `"${home}" cannot be the agent's home folder`, {
      detail: [
        {
          constraint: `the path has letters, digits, ".", "-" and "_" only, at most ${homeLengthLimit} of them, and is not below /run`,
          source: "limit of unix socket paths; the site has its own /run",
          nearest: "choose a shorter path such as /var/lib/stratiform/site",
        },
      ],
    });
  }
  const hash = createHash("sha256").update(siteName).digest();
  const hex = hash.toString("hex");
  const folder = join(home, "site");
  return {
    siteName,
    home,
    folder,
    namespace: `stratiform-${siteName}`,
    uplinkInterface: `strat${hex.slice(0, 8)}`,
    uplinkIndex: hash.readUInt32BE(8) % uplinkCount,
    hostUuid: `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`,
    stateFile: join(home, "state.json"),
    relaySocket: join(home, "relay.sock"),
    libvirtFolder: join(folder, "libvirt"),
    libvirtSocket: join(folder, "libvirt", "sock", "libvirt-sock"),
    poolFolder: join(folder, "pool"),
    lxdFolder: join(folder, "lxd"),
    lxdSocket: join(folder, "lxd", "unix.socket"),
  };
}

export interface Uplink {
  readonly hostAddress: string;
  readonly siteAddress: string;
  readonly prefix: string;
}

/** The n-th /30 of 10.99.0.0/16. */
export function uplinkOf(index: number): Uplink {
  const start = (((index % uplinkCount) + uplinkCount) % uplinkCount) * 4;
  const at = (offset: number) => `10.99.${Math.floor((start + offset) / 256)}.${(start + offset) % 256}`;
  return { hostAddress: at(1), siteAddress: at(2), prefix: `${at(0)}/30` };
}
