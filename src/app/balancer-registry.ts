/**
 * Which adapter talks to a balancer that is a machine of a vApp, and how it reaches it. Which adapters there are is decided in the
 * composition root; `app` knows only the contract.
 *
 * The rule: (1) an adapter with the name of the machine's provider comes first: inside a simulated machine nothing runs that any other
 * adapter could talk to, and offerings do not change with the place they are deployed to. (2) Else the one the blueprint names in
 * `balance.adapter`. (3) Else the first
 * that was registered, the default.
 */
import type { Balancer, BalancerFactory } from "#adapter/balancer.ts";
import { AppError } from "#domain/error.ts";
import type { Platform } from "#app/context.ts";
import { machineRef } from "#app/steps/realised.ts";
import type { MachineRow } from "#store/vapp.ts";

/** In order: the first is the default. */
export type Balancers = ReadonlyMap<string, BalancerFactory>;

export function balancerFactory(balancers: Balancers, providerKind: string, named: string | null): BalancerFactory {
  const factory = balancers.get(providerKind) ?? (named === null ? [...balancers.values()][0] : balancers.get(named));
  if (factory !== undefined) return factory;
  const known = [...balancers.keys()].join(", ") || "none";
  throw new AppError("invalid_input", named === null ? "no balancer adapter is installed" : `there is no balancer adapter "${named}"`, {
    detail: [
      {
        constraint: `a balancer adapter is one of: ${known}`,
        source: "installed adapters",
        nearest: "name one of them in balance.adapter",
      },
    ],
  });
}

/** The balancer inside a machine, through the machine's own guest channel. No I/O yet. */
export async function openBalancer(platform: Platform, machine: MachineRow, named: string | null): Promise<Balancer> {
  const provider = await platform.endpoints.provider(machine.endpoint_id);
  const factory = balancerFactory(platform.balancers, provider.kind, named);
  const ref = machineRef(platform, machine);
  return factory.open({ run: (ctx, command) => provider.channelRun(ctx, ref, command) }, factory.config.parse({}));
}
