/**
 * Machines without their seed, for a moment. libvirt keeps and brings back disks of a stopped machine only when all of its disks can hold
 * snapshots, and the seed cannot; after bringing disks back it leaves the definition that was kept with them. So the definition is reduced
 * to those disks, and carries the whole one aside, as metadata: whoever finds it so, after a control plane died in between, puts it back.
 */
import { AppError } from "#domain/error.ts";
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { asideElement, parseDomainXml } from "#providers/libvirt/domain-xml.ts";
import type { FoundMachine } from "#providers/libvirt/machine.ts";
import { escapeXml, parseXml } from "#providers/libvirt/xml.ts";

const asideNamespace = "urn:stratiform:aside:1";

/** The definition with no disks but these, by target, and with itself aside. */
export function reducedDefinition(definition: string, targets: readonly string[]): string {
  const kept = definition
    .replace(/^\s*<\?xml[^>]*>/, "")
    .replaceAll(/<disk [\s\S]*?<\/disk>/g, (disk) => (targets.some((target) => disk.includes(`dev='${target}'`)) ? disk : ""));
  const whole = Buffer.from(definition).toString("base64");
  const aside = `<${asideElement} xmlns:stratiform-aside='${escapeXml(asideNamespace)}'>${whole}</${asideElement}>`;
  return kept.replace("<metadata>", `<metadata>${aside}`);
}

/** The whole definition that a reduced one carries; null when it is whole. */
export function asideOf(definition: string): string | null {
  const aside = parseXml(definition, "domain").at(`metadata/${asideElement}`)?.text;
  return aside === undefined ? null : Buffer.from(aside, "base64").toString("utf8");
}

/** The machine as it should be found; a reduced definition is replaced by the one it carries. */
export async function machineWhole(client: LibvirtClient, found: FoundMachine): Promise<FoundMachine> {
  if (!found.description.isReduced) return found;
  const whole = asideOf(await client.domainXmlInactive(found.domain));
  if (whole === null) return found;
  await definitionPut(client, whole);
  return { domain: found.domain, description: parseDomainXml(await client.domainXml(found.domain)) };
}

/** Defines a machine as it was. One that was removed meanwhile, with its files, is not made again. */
export async function definitionPut(client: LibvirtClient, definition: string): Promise<void> {
  const domain = await client.domainDefine(definition);
  const system = parseDomainXml(definition).disks[0]?.path;
  if (system === undefined || (await client.volumeAt(system)) !== null) return;
  await client.domainUndefine(domain);
  throw new AppError("not_found", `the machine "${domain.name}" was removed meanwhile`);
}
