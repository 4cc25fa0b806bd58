/** The LXD provider over HTTPS: who is let in, whom we believe, and that everything works that works over the socket. */
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ImageSource, MachineEvent, MachineSpec, Provider } from "#provider/contract.ts";
import { lxdFactory } from "#providers/lxd/provider.ts";
import { certificateMake } from "../support/certificate.ts";
import { freshRef, lxc, lxdMachine, tinyEdgeImage } from "../support/lxd-subject.ts";
import { startTestSite, type TestSite } from "../support/site.ts";

const port = 8443;
/** A fresh limit for each call: one for all of them would end with the time that the tests before took. */
const limited = () => callContext();
const client = certificateMake({ commonName: "stratiform" });
const unknown = certificateMake({ commonName: "unknown" });
const restricted = certificateMake({ commonName: "restricted" });
let site: TestSite;
let attachment: string;
let image: ImageSource;
let config: { url: string; pool: string; cert: string; key: string; ca: string };
const opened: Provider[] = [];

function open(changes: Partial<typeof config>): Provider {
  const provider = lxdFactory.open({ ...config, ...changes });
  opened.push(provider);
  return provider;
}

async function trust(name: string, cert: string, ...options: string[]): Promise<void> {
  const file = join(site.home, `${name}.crt`);
  await writeFile(file, cert);
  await lxc(site, "config", "trust", "add", file, "--name", name, ...options);
}

/** Lets LXD listen on the site's end of the link to the host, which the site's firewall keeps closed otherwise. */
async function listen(): Promise<string> {
  const addresses = (await exec("ip", ["-n", site.namespace, "-4", "-j", "address"])).stdout;
  const links = JSON.parse(addresses) as { ifname: string; addr_info: { local: string }[] }[];
  const up = links.find(({ ifname }) => ifname.startsWith("up"))!;
  const rule = ["nft", "insert", "rule", "inet", "stratiform", "input", "iifname", up.ifname, "tcp", "dport", String(port), "accept"];
  await exec("nsenter", site.inside(...rule));
  const address = `${up.addr_info[0]!.local}:${port}`;
  await lxc(site, "config", "set", "core.https_address", address);
  return address;
}

beforeAll(async () => {
  image = await tinyEdgeImage();
  site = await startTestSite();
  attachment = (await site.segment({ prefix: "10.64.1.0/24", gateway: "10.64.1.1" })).attachment;
  const ca = await readFile(join(dirname(site.lxdConfig.socket), "server.crt"), "utf8");
  config = { url: `https://${await listen()}`, pool: site.lxdConfig.pool, cert: client.cert, key: client.key, ca };
  await trust("stratiform", client.cert);
  await lxc(site, "project", "create", "theirs", "-c", "features.images=false", "-c", "user.owner=Grace");
  await trust("restricted", restricted.cert, "--restricted", "--projects", "theirs");
});
afterAll(async () => {
  for (const provider of opened) await provider.close();
  await site.stop();
});

describe("a client that LXD trusts", () => {
  let provider: Provider;
  let spec: MachineSpec;
  beforeAll(() => {
    provider = open({});
    const volumes = [{ name: "data", sizeMiB: 16 }];
    spec = lxdMachine(image, attachment, { ...freshRef("remote"), volumes });
  });

  test("uploads an image, makes and starts a machine, sees its events", async () => {
    expect(await provider.describe(limited())).toMatchObject({ product: expect.stringMatching(/^LXD 5/) as unknown });
    await provider.imageEnsure(limited(), image);
    const abort = new AbortController();
    const events: MachineEvent[] = [];
    const ready = Promise.withResolvers<void>();
    const watching = open({}).watch(callContext(abort.signal), (event) => events.push(event), ready.resolve);
    await Promise.race([ready.promise, watching]);
    await provider.machineEnsure(limited(), spec);
    expect(await provider.machineStart(limited(), spec)).toMatchObject({ power: "running", volumes: spec.volumes });
    const running = { type: "machine", name: spec.name, power: "running", reason: "instance-started" };
    await expect.poll(() => events, { timeout: 1_000 }).toContainEqual(running);
    abort.abort();
    await watching;
  });

  test("runs commands with input and output through websockets of the same connection", async () => {
    const text = "line ä € 😀\n".repeat(20_000);
    const result = await provider.channelRun(limited(), spec, { argv: ["/bin/cat"], stdin: text });
    expect([result.exitCode, result.stdout === text]).toEqual([0, true]);
  });

  test("opens the console", async () => {
    const terminal = await provider.consoleOpen(limited(), spec);
    let seen = "";
    terminal.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    const answered = () => {
      terminal.write("\necho over-$((40 + 2))\n");
      return seen;
    };
    await expect.poll(answered, { timeout: 20_000, interval: 300 }).toContain("over-42");
    terminal.destroy();
  });

  test("takes a snapshot and removes everything", async () => {
    await provider.snapshotEnsure(limited(), spec, "remote");
    expect((await provider.snapshotList(limited(), spec)).map(({ name }) => name)).toEqual(["remote"]);
    await provider.machineRemove(limited(), spec);
    expect(await lxc(site, "storage", "volume", "list", "stratiform", "--format", "csv", "--columns", "n")).not.toContain(spec.name);
    await provider.imageRemove(limited(), image);
  });
});

describe("refusals", () => {
  test("a client that LXD does not trust is told how to be trusted", async () => {
    const { cert, key } = unknown;
    const refused = {
      code: "endpoint_refused",
      detail: [expect.objectContaining({ nearest: expect.stringContaining("lxc config trust add") as unknown })],
    };
    await expect(open({ cert, key }).describe(limited())).rejects.toMatchObject(refused);
    await expect(open({ cert, key }).machineList(limited())).rejects.toMatchObject(refused);
    await expect(open({ cert, key }).machineEnsure(limited(), lxdMachine(image, attachment, freshRef("unknown")))).rejects.toMatchObject(
      refused,
    );
  });

  test("an LXD that shows another certificate is not spoken to", async () => {
    const refused = { code: "endpoint_refused", message: expect.stringContaining("certificate") as unknown };
    await expect(open({ ca: unknown.cert }).describe(limited())).rejects.toMatchObject(refused);
    const watching = open({ ca: unknown.cert }).watch(
      limited(),
      () => {},
      () => {},
    );
    await expect(watching).rejects.toMatchObject(refused);
  });

  test("an address where nobody listens is endpoint_unreachable", async () => {
    await expect(open({ url: "https://127.0.0.1:1" }).describe(limited())).rejects.toMatchObject({ code: "endpoint_unreachable" });
  });

  test("a client that is restricted to a project sees that one, and nothing of ours", async () => {
    const { cert, key } = restricted;
    await lxc(site, "init", "--project", "theirs", "--empty", "--no-profiles", "--storage", "stratiform", "other");
    await lxc(site, "init", "--empty", "--no-profiles", "--storage", "stratiform", "mine");
    try {
      const seen = await open({ cert, key }).inventory(limited());
      expect(seen.map(({ externalId }) => externalId)).toEqual(["theirs/other"]);
      expect(seen[0]?.ownerGuess).toEqual({ who: "Grace", source: "project user.owner" });
      const all = await open({}).inventory(limited());
      expect(all.map(({ externalId }) => externalId).toSorted()).toEqual(["mine", "theirs/other"]);
    } finally {
      await lxc(site, "delete", "mine");
      await lxc(site, "delete", "--project", "theirs", "other");
    }
  });

  test.each([
    ["a key of another certificate", () => ({ key: unknown.key })],
    ["a certificate that is none", () => ({ ca: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----" })],
    ["an address that is not HTTPS", () => ({ url: "http://127.0.0.1:8443" })],
    ["a socket and an address", () => ({ socket: "/x" })],
  ])("%s is invalid_input, before anything is connected", (_what, changes) => {
    expect(() => lxdFactory.open({ ...config, ...changes() })).toThrow(expect.objectContaining({ code: "invalid_input" }));
  });
});
