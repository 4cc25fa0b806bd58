/** The libvirt provider over TLS: whom it believes, who is let in, and that streams, events and the agent work as over the socket. */
import { randomInt } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isAppError } from "#domain/error.ts";
import { systemClock } from "#lib/clock.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ImageSource, MachineEvent, MachineSpec, Provider } from "#provider/contract.ts";
import { libvirtFactory } from "#providers/libvirt/provider.ts";
import { certificateMake } from "../support/certificate.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { tinyNodeImage, tinySpec } from "../support/libvirt-subject.ts";

/** Test files that run at once do not meet; the second address is in no certificate. */
const network = `10.${randomInt(200, 250)}.${randomInt(0, 250)}`;
const [address, unnamed, hostAddress] = [`${network}.1`, `${network}.2`, `${network}.3`];

const authority = certificateMake({ commonName: "authority", authority: true });
const otherAuthority = certificateMake({ commonName: "other authority", authority: true });
const server = certificateMake({ commonName: "libvirt-test", names: [address], issuer: authority });
const client = certificateMake({ commonName: "stratiform", issuer: authority });
const unnamedClient = certificateMake({ commonName: "somebody", issuer: authority });
const unknownClient = certificateMake({ commonName: "stratiform", issuer: otherAuthority });
const expiredClient = certificateMake({ commonName: "stratiform", issuer: authority, endsInDays: -1 });

let site: LibvirtSite;
let image: ImageSource;
const opened: Provider[] = [];

function open(changes: object = {}): Provider {
  const pool = { name: "stratiform", path: site.poolPath };
  const config = { uri: `qemu+tls://${address}/system`, ca: authority.cert, cert: client.cert, key: client.key, pool };
  const provider = libvirtFactory.open({ ...config, ...changes });
  opened.push(provider);
  return provider;
}

const own = ({ cert, key }: { readonly cert: string; readonly key: string }) => ({ cert, key });

async function until<T>(look: () => Promise<T | null> | T | null): Promise<T> {
  for (;;) {
    const seen = await look();
    if (seen !== null) return seen;
    await systemClock.sleep(50);
  }
}

beforeAll(async () => {
  const { cert, key } = server;
  const tls = { ca: authority.cert, cert, key, allowed: ["CN=stratiform"], addresses: [address, unnamed], hostAddress };
  [site, image] = await Promise.all([libvirtSiteStart(tls), tinyNodeImage()]);
}, 300_000);
afterAll(async () => {
  for (const provider of opened) await provider.close();
  await site?.stop();
});

describe("a client that libvirtd lets in", { timeout: 180_000 }, () => {
  test("uploads an image, runs a machine with console and agent, and hears of its life", async () => {
    const provider = open();
    expect(await provider.describe(callContext())).toMatchObject({ host: "libvirt-test", accelerator: "tcg" });
    await provider.imageEnsure(callContext(), image);
    const abort = new AbortController();
    const events: MachineEvent[] = [];
    const ready = Promise.withResolvers<void>();
    const watching = provider.watch(callContext(abort.signal), (event) => events.push(event), ready.resolve);
    await Promise.race([ready.promise, watching]);
    const spec = tinySpec(site, image);
    await provider.machineEnsure(callContext(), spec);
    await provider.machineStart(callContext(), spec);
    const console = await provider.consoleOpen(callContext(), spec);
    let output = "";
    console.on("data", (chunk: Buffer) => (output += chunk.toString()));
    expect((await whenReady(provider, spec, ["/bin/echo", "over TLS"])).stdout).toBe("over TLS\n");
    console.write("\necho $((6*7))-from-console\n");
    await until(() => (output.includes("42-from-console") ? true : null));
    console.destroy();
    await provider.machineRemove(callContext(), spec);
    await until(() => (events.some(({ name, power }) => name === spec.name && power === "removed") ? true : null));
    abort.abort();
    await watching;
  });

  test("with reading rights only it sees everything, and libvirtd itself refuses a change", async () => {
    const managing = open();
    const spec = tinySpec(site, image);
    await managing.imageEnsure(callContext(), image);
    await managing.machineEnsure(callContext(), spec);
    const config = { uri: `qemu+tls://${address}/system`, ca: authority.cert, cert: client.cert, key: client.key };
    const reading = libvirtFactory.open(libvirtFactory.readOnly!(config));
    opened.push(reading);
    expect(await reading.describe(callContext())).toMatchObject({ host: "libvirt-test" });
    expect((await reading.inventory(callContext())).map(({ name }) => name)).toEqual([spec.name]);
    await expect(reading.machineStart(callContext(), spec)).rejects.toMatchObject({ code: "endpoint_refused" });
    await expect(reading.machineRemove(callContext(), spec)).rejects.toMatchObject({ code: "endpoint_refused" });
    expect(await managing.machineObserve(callContext(), spec)).toMatchObject({ power: "stopped" });
    await managing.machineRemove(callContext(), spec);
  });
});

const whenReady = (provider: Provider, spec: MachineSpec, argv: readonly string[]) =>
  until(() =>
    provider.channelRun(callContext(), spec, { argv }).catch((error: unknown) => {
      if (isAppError(error, "endpoint_busy")) return null;
      throw error;
    }),
  );

describe("certificates", () => {
  const ours = "the endpoint does not take our certificate";
  const theirs = "the endpoint's certificate is not to be trusted";
  test.each([
    ["another authority's client", own(unknownClient), ours, "must know the authority of our certificate"],
    ["a client whose name is not let in", own(unnamedClient), ours, "allow its name"],
    ["a client whose time is over", own(expiredClient), ours, "must know the authority of our certificate"],
    ["a server of another authority", { ca: otherAuthority.cert }, theirs, "issued by the configured authority"],
    ["a server under a name it does not bear", { uri: `qemu+tls://${unnamed}/system` }, theirs, "for the host it is reached by"],
  ])("%s: refused with the reason", async (_what, changes, message, constraint) => {
    await expect(open(changes).describe(callContext())).rejects.toMatchObject({
      code: "endpoint_refused",
      message,
      detail: [{ constraint: expect.stringContaining(constraint), nearest: expect.stringMatching(/./) }],
    });
  });

  test("nobody listening is no matter of certificates", async () => {
    const provider = open({ uri: `qemu+tls://${address}:1/system` });
    await expect(provider.describe(callContext())).rejects.toMatchObject({ code: "endpoint_unreachable" });
  });
});
