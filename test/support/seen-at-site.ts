/**
 * What really is at a real site, by other means than our providers: virsh, LXD's own REST answers, `ip`, `nft`, the pool's folder and
 * the agent's record of exposures, each of which is tried with a connection.
 */
import { existsSync, readdirSync } from "node:fs";
import { connect } from "node:net";
import { exec } from "#lib/exec.ts";
import { unixRequest } from "#lib/unix-http.ts";
import type { SeenObject } from "./world-verdict.ts";
import type { TestSite } from "./site.ts";
import type { Sql } from "./sql.ts";

/** Names the test gave the endpoints when it registered them. */
export const endpointNames = { libvirt: "libvirt", lxd: "lxd" } as const;

export async function seenAtSite(site: TestSite): Promise<SeenObject[]> {
  const parts = await Promise.all([domains(site), instances(site), segments(site), exposures(site)]);
  return parts.flat();
}

async function virsh(site: TestSite, ...args: string[]): Promise<string> {
  const { stdout } = await exec("virsh", ["-q", "-c", `qemu+unix:///system?socket=${site.libvirtConfig.socket}`, ...args], {
    timeoutMs: 30_000,
  });
  return stdout;
}

async function domains(site: TestSite): Promise<SeenObject[]> {
  const names = (await virsh(site, "list", "--all", "--name")).split("\n").filter((name) => name !== "");
  return Promise.all(
    names.map(async (name): Promise<SeenObject> => {
      const [xml, state] = [await virsh(site, "dumpxml", name), (await virsh(site, "domstate", name)).trim()];
      const mark = /<stratiform:owner [^>]*installation=["']([^"']+)["'] vapp=["']([^"']+)["'] object=["']([^"']+)["']/.exec(xml);
      const nics = [...xml.matchAll(/<interface type='bridge'>\s*<mac address='([^']+)'\/>\s*<source bridge='([^']+)'/g)];
      const owner = mark === null ? null : { installation: mark[1]!, vapp: mark[2]!, object: mark[3]! };
      return {
        noun: "machine",
        endpoint: endpointNames.libvirt,
        name,
        owner,
        power: state === "shut off" ? "stopped" : state,
        nics: nics.map(([, mac, bridge]) => `${mac} ${bridge}`).sort(),
        size: domainSize(xml),
        volumes: await domainVolumes(site, name, xml),
        snapshots: (await virsh(site, "snapshot-list", name, "--name"))
          .split("\n")
          .filter((line) => line.trim() !== "")
          // The provider's own names end in time and nonce.
          .map((line) => line.trim().replace(/\.\d{13}\.[0-9a-f]{8}$/, ""))
          .sort(),
      };
    }),
  );
}

function domainSize(xml: string): string {
  const vcpus = /<vcpu\b[^>]*?(?: current='(\d+)')?>(\d+)<\/vcpu>/.exec(xml)!;
  const kib = /<currentMemory unit='KiB'>(\d+)</.exec(xml)![1];
  return `${vcpus[1] ?? vcpus[2]} vCPU ${Math.round(Number(kib) / 1024)} MiB`;
}

/** Data disks carry the volume's name as their serial number. */
async function domainVolumes(site: TestSite, name: string, xml: string): Promise<string[]> {
  const volumes: string[] = [];
  for (const [disk] of xml.matchAll(/<disk\b[^]*?<\/disk>/g)) {
    const [serial, target] = [/<serial>([^<]+)</.exec(disk)?.[1], /<target dev='([^']+)'/.exec(disk)?.[1]];
    if (serial === undefined || target === undefined) continue;
    const capacity = /^Capacity:\s+(\d+)/m.exec(await virsh(site, "domblkinfo", name, target))![1];
    volumes.push(`${serial} ${Math.round(Number(capacity) / 1_048_576)} MiB`);
  }
  return volumes.sort();
}

interface LxdInstance {
  readonly name: string;
  readonly status: string;
  readonly config: Readonly<Record<string, string>>;
  readonly devices: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly snapshots?: readonly { readonly name: string }[] | null;
}

async function instances(site: TestSite): Promise<SeenObject[]> {
  const found = await lxdList<LxdInstance>(site, "/1.0/instances?recursion=2");
  const sizes = new Map(
    (await lxdList<LxdVolume>(site, `/1.0/storage-pools/${site.lxdConfig.pool}/volumes/custom?recursion=1`)).map(({ name, config }) => [
      name,
      config["size"] ?? "?",
    ]),
  );
  return found.map(({ name, status, config, devices, snapshots }): SeenObject => {
    const at = (key: string) => config[`user.stratiform.${key}`] ?? "";
    const nics = Object.values(devices).filter(({ type }) => type === "nic");
    return {
      noun: "machine",
      endpoint: endpointNames.lxd,
      name,
      owner: at("object") === "" ? null : { installation: at("installation"), vapp: at("vapp"), object: at("object") },
      power: status.toLowerCase(),
      nics: nics.map(({ hwaddr, parent }) => `${hwaddr} ${parent}`).sort(),
      size: `${config["limits.cpu"]} vCPU ${config["limits.memory"]?.replace(/MiB$/, " MiB")}`,
      volumes: Object.entries(devices)
        .filter(([device, { type }]) => device.startsWith("volume-") && type === "disk")
        .map(([device, { source }]) => `${device.slice("volume-".length)} ${sizes.get(source ?? "")?.replace(/MiB$/, " MiB")}`)
        .sort(),
      snapshots: (snapshots ?? []).map((snapshot) => snapshot.name).sort(),
    };
  });
}

interface LxdVolume {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

async function lxdList<T>(site: TestSite, path: string): Promise<T[]> {
  const answer = await unixRequest({ socket: site.lxdConfig.socket, method: "GET", path });
  return (answer.body as { metadata: T[] | null }).metadata ?? [];
}

async function agentItems<T>(site: TestSite, path: string): Promise<T[]> {
  const answer = await unixRequest({ socket: site.fabricConfig.socket, method: "GET", path });
  return (answer.body as { items: T[] }).items;
}

type Mark = SeenObject["owner"];

async function segments(site: TestSite): Promise<SeenObject[]> {
  return (await agentItems<{ name: string; owner: Mark }>(site, "/v1/segments")).map(({ name, owner }) => ({
    noun: "segment",
    endpoint: "",
    name,
    owner,
  }));
}

async function exposures(site: TestSite): Promise<SeenObject[]> {
  const items = await agentItems<{ name: string; owner: Mark; port: number }>(site, "/v1/exposures");
  return items.map(({ name, owner, port }) => ({ noun: "exposure", endpoint: "", name, owner, port }));
}

/** What no list of objects shows: bridges, packet rules, disks and open ports, held against the tables. */
export async function siteProblems(sql: Sql, site: TestSite): Promise<string[]> {
  const living = async (text: string) => (await sql<{ name: string }>(text)).map(({ name }) => name).sort();
  const realised = await living(`select external_name as name from segment where released_at is null and state = 'realised'`);
  const inKernel = await exec("ip", ["-j", "-n", site.namespace, "link", "show", "type", "bridge"], { timeoutMs: 10_000 });
  const bridges = (JSON.parse(inKernel.stdout || "[]") as { ifname?: string }[])
    .flatMap(({ ifname }) => (ifname === undefined ? [] : [ifname]))
    .sort();
  const problems = bridges.join() === realised.join() ? [] : [`bridges are ${bridges.join()}, realised segments ${realised.join()}`];
  const rules = (await exec("nsenter", site.inside("nft", "list", "ruleset"), { timeoutMs: 10_000 })).stdout;
  const gone = await living(`select external_name as name from segment where released_at is not null`);
  problems.push(...gone.filter((name) => rules.includes(name)).map((name) => `packet rules still name segment ${name}`));
  const machines = await living(`select external_name as name from machine where released_at is not null`);
  // A machine that comes after a removed one may have its name; what belongs to it names its row too.
  const objects = await living(`select id::text as name from machine where released_at is null`);
  const { path } = site.libvirtConfig.pool;
  const files = existsSync(path) ? readdirSync(path) : [];
  problems.push(
    ...files
      .filter((file) => !objects.some((id) => file.includes(id)))
      .filter((file) => machines.some((name) => file.startsWith(`${name}.`) || file.startsWith(`${name}-`) || file.includes(`-${name}-`)))
      .map((file) => `${file} belongs to a machine that is gone`),
  );
  const ports = await sql<{ address: string; port: number; released: boolean }>(
    `select address, port, released_at is not null as released from exposure where port is not null`,
  );
  const open = await sql<{ port: number }>(`select port from exposure where released_at is null and port is not null`);
  for (const { address, port, released } of ports) {
    const reused = released && open.some((other) => other.port === port);
    if (reused) continue;
    const answers = await isOpen(address, port);
    if (answers === released)
      problems.push(`port ${port} is ${answers ? "open" : "closed"} and its exposure ${released ? "gone" : "there"}`);
  }
  return problems;
}

function isOpen(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.setTimeout(3_000, () => end(false));
  });
}
