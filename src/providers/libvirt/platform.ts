/**
 * What the endpoint can run. That `kvm` is listed proves nothing: there are machines whose /dev/kvm exists and whose guests hang. So a
 * tiny guest is started under kvm, and believed when its firmware says something on the serial line.
 */
import type { CallContext } from "#domain/context.ts";
import { AppError, isAppError } from "#domain/error.ts";
import type { EndpointDescription } from "#provider/contract.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import type { Platform } from "#providers/libvirt/domain-xml.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { LibvirtFailure } from "#providers/libvirt/failure.ts";
import type { DomainHandle } from "#providers/libvirt/protocol.ts";
import { escapeXml, parseXml } from "#providers/libvirt/xml.ts";

/** SeaBIOS speaks within 100 ms under kvm. Some emulated /dev/kvm do run guests, thirty times slower: of no use either. */
const probeLimitMs = 1_500;

export async function platformFind(endpoint: LibvirtEndpoint, ctx: CallContext): Promise<Platform> {
  const client = await endpoint.client(ctx);
  const capabilities = parseXml(await client.capabilities(), "capabilities");
  const architecture = capabilities.at("host/cpu/arch")?.text ?? "";
  const guest = capabilities
    .all("guest")
    .find((one) => one.at("arch")?.attribute("name") === architecture && one.at("os_type")?.text === "hvm");
  const emulator = guest?.at("arch/emulator")?.text;
  if (guest === undefined || emulator === undefined) {
    throw new AppError("capability_missing", "the endpoint cannot run virtual machines of its own architecture", {
      internal: architecture,
    });
  }
  const listed =
    guest
      .at("arch")
      ?.all("domain")
      .some((domain) => domain.attribute("type") === "kvm") === true;
  // With reading rights nothing can be started: what the endpoint says of itself is then all there is.
  const kvm = listed && (endpoint.readOnly || (await guestRuns(endpoint, ctx, "kvm", { architecture, emulator })));
  return { architecture, emulator, accelerator: kvm ? "kvm" : "tcg" };
}

/** Starts a guest without disks and waits for the first byte of its firmware. Leaves nothing behind. */
export async function guestRuns(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  type: "kvm" | "qemu",
  platform: Pick<Platform, "architecture" | "emulator">,
  limitMs: number = probeLimitMs,
): Promise<boolean> {
  const client = await endpoint.ownClient(ctx);
  try {
    const domain = await client.domainCreateTransient(probeXml(type, platform));
    try {
      return await speaks(client, domain, ctx, limitMs);
    } finally {
      await client.domainDestroy(domain);
    }
  } catch (error) {
    if (!(error instanceof LibvirtFailure) && !isAppError(error, "timeout")) throw error;
    ctx.log.info({ type, reason: error.message }, "probe of an accelerator failed");
    return false;
  } finally {
    client.connection.close();
  }
}

function speaks(client: LibvirtClient, domain: DomainHandle, ctx: CallContext, limitMs: number): Promise<boolean> {
  const heard = Promise.withResolvers<boolean>();
  // Both settle the same promise; whichever comes second changes nothing.
  client.consoleOpen(domain, { onData: () => heard.resolve(true), onEnd: () => heard.resolve(false) }).catch(heard.reject);
  const limit = new AbortController();
  ctx.clock.sleep(limitMs, AbortSignal.any([limit.signal, ctx.signal])).then(() => heard.resolve(false), heard.reject);
  return heard.promise.finally(() => limit.abort());
}

function probeXml(type: string, { architecture, emulator }: Pick<Platform, "architecture" | "emulator">): string {
  const name = `strat-probe-${crypto.randomUUID()}`;
  return `<domain type='${type}'>
  <name>${name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
  <os><type arch='${escapeXml(architecture)}' machine='q35'>hvm</type><bios useserial='yes'/></os>
  <on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
  <devices>
    <emulator>${escapeXml(emulator)}</emulator><controller type='usb' model='none'/>
    <serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial' port='0'/></console><memballoon model='none'/>
  </devices>
</domain>`;
}

export async function endpointDescribe(endpoint: LibvirtEndpoint, ctx: CallContext): Promise<EndpointDescription> {
  const client = await endpoint.client(ctx);
  const { architecture, accelerator } = await endpoint.platform(ctx);
  return {
    product: `libvirt ${versionText(await client.libraryVersion())}, QEMU ${versionText(await client.hypervisorVersion())}`,
    host: await client.hostname(),
    architecture,
    accelerator,
    vcpus: await client.cpuCount(),
    memoryMiB: Math.floor((await client.memoryTotalKiB()) / 1024),
  };
}

/** libvirt packs a version as major * 1,000,000 + minor * 1,000 + release. */
function versionText(packed: number): string {
  return [Math.floor(packed / 1_000_000), Math.floor(packed / 1000) % 1000, packed % 1000].join(".");
}
