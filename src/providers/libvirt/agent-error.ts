/**
 * A flaw of libvirt (seen in 9.0): when a machine is ended by force while a command to its guest agent is unanswered, as it is with a guest
 * that hangs, libvirt takes the end of the agent's socket for an error and remembers it ("not available due to an error"). It forgets that
 * only when the guest closes the channel or the definition goes. So the machine's next boots would never take a command.
 *
 * Looked for right after a start, when nothing of the guest runs yet: the machine is then ended once more, defined anew with all that
 * libvirt knows of it, and started.
 */
import type { LibvirtClient } from "#providers/libvirt/client.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { domainDestroy } from "#providers/libvirt/machine.ts";
import type { DomainHandle } from "#providers/libvirt/protocol.ts";

const ping = JSON.stringify({ execute: "guest-ping" });
/** Usually nobody is connected yet, and libvirt says so at once. */
const pingTimeoutSeconds = 1;

export async function agentErrorForget(client: LibvirtClient, domain: DomainHandle): Promise<void> {
  if (!(await hasAgentError(client, domain))) return;
  await domainDestroy(client, domain);
  const definition = await client.domainXmlInactive(domain);
  const snapshots = await Promise.all((await client.snapshotList(domain)).map((one) => client.snapshotXml(one)));
  // Whatever becomes of the caller: what was undefined is defined again.
  const whole = client.detached();
  await whole.domainUndefine(domain);
  await whole.domainDefine(definition);
  for (const snapshot of snapshots) await whole.snapshotRedefine(domain, snapshot);
  await client.domainStart(domain);
}

async function hasAgentError(client: LibvirtClient, domain: DomainHandle): Promise<boolean> {
  try {
    await client.agentCommand(domain, ping, pingTimeoutSeconds);
    return false;
  } catch (error) {
    // Not connected yet is the same code in other words.
    return isFailure(error, libvirtCode.agentUnresponsive) && error.message.includes("due to an error");
  }
}
