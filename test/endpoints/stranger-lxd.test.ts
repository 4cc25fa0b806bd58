/** A stranger's LXD over HTTPS as an operator meets it: the check names the first thing that is wrong and whose certificate it is, and looking changes nothing. */
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AppContext } from "#app/context.ts";
import { checkEndpointWrite } from "#app/endpoint-check.ts";
import { putEndpoint } from "#app/endpoint.ts";
import { listInventory } from "#app/inventory.ts";
import { sampleInventories } from "#app/samplers/inventory.ts";
import { describeEndpoints } from "#app/samplers/machine.ts";
import { putSite } from "#app/site.ts";
import { exec } from "#lib/exec.ts";
import { migrations } from "#store/migrations/all.ts";
import { certificateMake } from "../support/certificate.ts";
import { adminContext, openPlatform } from "../support/installation.ts";
import { lxc } from "../support/lxd-subject.ts";
import { startTestPostgres, type TestPostgres } from "../support/postgres.ts";
import { startTestSite, type TestSite } from "../support/site.ts";

const port = 8443;
const rounds = 50;
const ours = certificateMake({ commonName: "stratiform" });
const unknown = certificateMake({ commonName: "unknown" });
const old = certificateMake({ commonName: "old", endsInDays: -1 });
let site: TestSite;
let postgres: TestPostgres;
let home: string;
let ctx: AppContext;
let config: { url: string; pool: string; cert: string; key: string; ca: string };

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "stratiform-stranger-"));
  [site, postgres] = await Promise.all([startTestSite(), startTestPostgres(migrations)]);
  ctx = await adminContext(await openPlatform(postgres.open(await postgres.createDatabase()), home));
  await putSite(ctx, { name: "friends", kind: "partner", location: "next door", fabric: { kind: "none", config: {} } });
  const file = join(site.home, "ours.crt");
  await writeFile(file, ours.cert);
  await lxc(site, "config", "trust", "add", file, "--name", "ours");
  await lxc(site, "init", "theirs", "--empty", "-c", "limits.memory=64MiB", "-c", "user.owner=Grace", "--storage", site.lxdConfig.pool);
  const ca = await readFile(join(dirname(site.lxdConfig.socket), "server.crt"), "utf8");
  config = { url: `https://${await listen()}`, pool: site.lxdConfig.pool, cert: ours.cert, key: ours.key, ca };
});
afterAll(async () => {
  await ctx?.platform.endpoints.close();
  await postgres?.close();
  await site?.stop();
  rmSync(home, { recursive: true, force: true });
});

/** Lets LXD listen on the site's end of the link to the host, which the site's firewall keeps closed otherwise. */
async function listen(): Promise<string> {
  const links = JSON.parse((await exec("ip", ["-n", site.namespace, "-4", "-j", "address"])).stdout) as {
    ifname: string;
    addr_info: { local: string }[];
  }[];
  const up = links.find(({ ifname }) => ifname.startsWith("up"))!;
  const rule = ["nft", "insert", "rule", "inet", "stratiform", "input", "iifname", up.ifname, "tcp", "dport", String(port), "accept"];
  await exec("nsenter", site.inside(...rule));
  const address = `${up.addr_info[0]!.local}:${port}`;
  await lxc(site, "config", "set", "core.https_address", address);
  return address;
}

function write(changes: Partial<typeof config> = {}) {
  return { name: "theirs", site: "friends", provider: "lxd", mode: "observe" as const, config: { ...config, ...changes } };
}

async function refusal(changes: Partial<typeof config>) {
  const { ok, lines } = await checkEndpointWrite(ctx, write(changes));
  expect(ok).toBe(false);
  return lines.find(({ outcome }) => outcome === "refused")!;
}

test("the check says whose certificate it is, and that all is well", async () => {
  const { ok, lines } = await checkEndpointWrite(ctx, write());
  expect({ ok, steps: lines.map(({ outcome }) => outcome) }).toEqual({ ok: true, steps: lines.map(() => "ok") });
  expect(lines.find(({ step }) => step === "certificate")!.says).toMatch(/^of O=linuxcontainers.org.*valid until .*; ours is given$/);
  expect(lines.find(({ step }) => step === "version")!.says).toMatch(/^LXD 5/);
});

test("the check stops at what is wrong, with the way to mend it", async () => {
  expect(await refusal({ ca: unknown.cert })).toMatchObject({ step: "certificate", fix: expect.stringContaining("--ca") as unknown });
  expect(await refusal({ cert: old.cert, key: old.key })).toMatchObject({
    step: "certificate",
    says: expect.stringContaining("ended") as unknown,
  });
  expect(await refusal({ key: unknown.key })).toMatchObject({ step: "configuration" });
  expect(await refusal({ url: config.url.replace(String(port), "1") })).toMatchObject({ step: "connection" });
  expect(await refusal({ url: "https://nobody.invalid" })).toMatchObject({ step: "address" });
  const stranger = await refusal({ cert: unknown.cert, key: unknown.key });
  expect(["protocol", "rights"]).toContain(stranger.step);
});

test("what is there is seen, with its owner, and looking leaves it as it was", async () => {
  const everything = async () => [
    await lxc(site, "query", "/1.0/instances?recursion=2&all-projects=true"),
    await lxc(site, "query", "/1.0/images?recursion=1"),
    await lxc(site, "query", "/1.0/networks?recursion=1"),
    await lxc(site, "query", "/1.0/profiles?recursion=1"),
    await lxc(site, "query", `/1.0/storage-pools/${site.lxdConfig.pool}/volumes?recursion=1`),
    await lxc(site, "query", "/1.0/certificates?recursion=1"),
  ];
  const before = await everything();
  expect(await putEndpoint(ctx, write())).toMatchObject({ state: "ready", mode: "observe" });
  for (let round = 0; round < rounds; round++) {
    await describeEndpoints(ctx.platform, ctx);
    await sampleInventories(ctx.platform, ctx);
  }
  const [seen, ...others] = await listInventory(ctx, { gone: true, limit: 10 });
  expect(others).toEqual([]);
  expect(seen).toMatchObject({
    name: "theirs",
    kind: "container",
    power: "stopped",
    memoryMiB: 64,
    owner: { who: "Grace", source: "user.owner" },
    age: { isAtLeast: false },
  });
  expect(await everything()).toEqual(before);
});
