/**
 * The context document: everything a guest's hooks may know, in one JSON text. Its shape is part of the contract with images
 * (images/README.md). Machines that are to go are not in it.
 */
import { reachableAddress, renderConfig, type RenderedVapp } from "#domain/blueprint-render.ts";
import { resolveSecrets } from "#domain/expression.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { Platform } from "#app/context.ts";
import type { VappBefore } from "#app/desired.ts";
import { secretPlace } from "#app/secret-box.ts";
import { balanceOf } from "#app/steps/balancer.ts";
import { addressList, machineList, secretList, type MachineRow, type VappRow } from "#store/vapp.ts";

/** The vApp as an order in flight wants it, or as it was before. */
export function vappAt(vapp: VappRow, moment: "now" | "before"): VappAt {
  const before = vapp.before as unknown as VappBefore | null;
  const blueprint = vapp.blueprint as unknown as RenderedVapp;
  if (moment === "now" || before === null) return { ...vapp, blueprint, has: ({ desired }) => desired !== "deleted" };
  return { ...vapp, blueprint: before.blueprint, has: ({ name }) => before.machines.includes(name) };
}

export interface VappAt extends Pick<VappRow, "id" | "generation"> {
  readonly blueprint: RenderedVapp;
  /** Whether a machine belongs to it at that moment. */
  has(machine: Pick<MachineRow, "name" | "desired">): boolean;
}

/** The context document a guest gets. It holds secrets in clear: made here, handed to the channel, kept nowhere. */
export async function guestContext(platform: Platform, vapp: VappAt, row: MachineRow): Promise<{ text: string; secrets: string[] }> {
  const machines = (await machineList(platform.database, [vapp.id])).filter((machine) => vapp.has(machine));
  const rows = await addressList(
    platform.database,
    machines.map((machine) => machine.id),
  );
  const addresses: Record<string, Record<string, string>> = {};
  for (const machine of machines) addresses[machine.name] = {};
  for (const address of rows) addresses[address.machine_name]![address.segment_name] = address.address;
  const config = renderConfig(vapp.blueprint, { addresses })[row.name] ?? {};
  const sealed = new Map((await secretList(platform.database, vapp.id)).map((secret) => [secret.name, secret.ciphertext]));
  const secrets: string[] = [];
  const secretOf = (name: string) => {
    const secret = platform.secrets.open(secretPlace(vapp.id, name), sealed.get(name)!);
    secrets.push(secret);
    return secret;
  };
  const { segments, volumes = [] } = row.spec as unknown as DesiredMachine;
  const tiers: Record<string, { name: string; addresses: Record<string, string> }[]> = {};
  for (const machine of machines) (tiers[machine.tier] ??= []).push({ name: machine.name, addresses: addresses[machine.name]! });
  const text = JSON.stringify({
    generation: vapp.generation,
    self: { name: row.name, tier: row.tier, index: row.ordinal, addresses: addresses[row.name] },
    config: Object.fromEntries(Object.entries(config).map(([key, value]) => [key, resolveSecrets(value, secretOf)])),
    tiers,
    volumes,
    ...balanceContext(vapp.blueprint, row.tier, (tier) =>
      (tiers[tier] ?? []).map(({ name, addresses: own }) => ({ name, address: reachableAddress(segments, own) })),
    ),
  });
  return { text, secrets };
}

/** What a machine that balances a tier needs for its configuration file; nothing for others. */
function balanceContext(
  blueprint: RenderedVapp,
  tier: string,
  membersOf: (tier: string) => readonly { readonly name: string; readonly address: string | undefined }[],
) {
  const balance = balanceOf(blueprint, tier);
  if (balance === null) return {};
  const { tier: pool, port, health } = balance;
  return { balance: { pool, port, health, members: membersOf(pool).filter(({ address }) => address !== undefined) } };
}
