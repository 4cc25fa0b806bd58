/**
 * Keys for ssh that expire by themselves: the guest's own script lets one public key in for some seconds and tells the host's key, both
 * through the channel of the endpoint, which nobody in the vApp's network can listen to or change.
 */
import { AppError, isAppError } from "#domain/error.ts";
import { formatId } from "#domain/id.ts";
import { theMachineOf, type MachineName, type MachinePlace } from "#app/access.ts";
import { projectResource, theVappNamed } from "#app/resource.ts";
import { machineRef } from "#app/steps/realised.ts";
import { auditOf, useCase } from "#app/use-case.ts";
import { auditInsert } from "#store/audit.ts";
import { publicKeyPattern, type SshKeyView } from "#domain/access.ts";

const authorize = "/usr/lib/stratiform/authorize";
const authorizeTimeoutMs = 15_000;
/** Of a shell, or of what stands for one: there is no such program. */
const noSuchProgram = new Set([126, 127]);

export interface SshKeyInput extends MachineName {
  readonly publicKey: string;
  readonly seconds: number;
}

export const authorizeSshKey = useCase(
  { action: "vapp.ssh", resource: async (ctx, { vapp }: SshKeyInput) => projectResource(await theVappNamed(ctx, vapp)) },
  async (ctx, input): Promise<SshKeyView> => {
    const place = await theMachineOf(ctx, input, "ssh");
    const { platform } = ctx;
    const provider = await platform.endpoints.provider(place.machine.endpoint_id);
    const data = { vapp: formatId("vapp", place.vapp.id), machine: place.machine.name, seconds: input.seconds, publicKey: input.publicKey };
    await auditInsert(platform.database, auditOf(ctx, data));
    const result = await provider
      .channelRun(ctx, machineRef(platform, place.machine), {
        argv: [authorize, String(input.seconds)],
        stdin: `${input.publicKey}\n`,
        timeoutMs: authorizeTimeoutMs,
      })
      .catch((cause: unknown) => {
        // Some guest agents report a program that is not there as a failure of their own.
        if (isAppError(cause, "guest_failed") || isAppError(cause, "endpoint_refused")) throw noSsh(place, cause);
        throw cause;
      });
    if (noSuchProgram.has(result.exitCode)) throw noSsh(place);
    const hostKey = result.stdout.trim().split("\n").at(-1) ?? "";
    if (result.exitCode !== 0 || !publicKeyPattern.test(hostKey)) {
      const internal = `exit code ${result.exitCode}: ${result.stderr.slice(0, 500)}`;
      throw new AppError("guest_failed", `${place.machine.name} did not take the key`, { internal });
    }
    // Type and key alone: whatever else a guest says is not to reach a known_hosts file.
    const [type = "", body = ""] = hostKey.split(/\s+/);
    const expiresAt = new Date(ctx.clock.now() + input.seconds * 1_000).toISOString();
    return { user: "root", port: 22, hostKey: `${type} ${body}`, expiresAt };
  },
);

function noSsh({ vapp, machine }: MachinePlace, cause?: unknown): AppError {
  const name = `${vapp.name} ${machine.name}`;
  return new AppError("capability_missing", `${machine.name} does not know ssh`, {
    cause,
    detail: [
      {
        constraint: `ssh needs ${authorize} in the guest, which lets a key in for a while`,
        source: `image ${machine.image}`,
        nearest: `use its console or run a command: strat vapp console ${name}, strat vapp exec ${name} -- COMMAND`,
      },
    ],
  });
}
