/**
 * The one place where "observe only" is enforced: a provider of such an endpoint is only ever handed out in this wrapper, so no process,
 * sampler, reconciler or request can change anything there, whatever it believes. Every method of the contract is named below as reading
 * or changing; a new one does not compile until somebody decided.
 */
import { AppError } from "#domain/error.ts";
import type { Provider } from "#provider/contract.ts";

type Method = { [K in keyof Provider]: Provider[K] extends (...args: never[]) => unknown ? K : never }[keyof Provider];

/** Reading leaves no trace at the endpoint. A console or a command in a guest is no reading: the guest notices. */
const methods: Readonly<Record<Method, "reads" | string>> = {
  describe: "reads",
  imageList: "reads",
  machineObserve: "reads",
  machineList: "reads",
  snapshotList: "reads",
  inventory: "reads",
  watch: "reads",
  close: "reads",
  imageEnsure: "copy an image there",
  imageRemove: "remove an image there",
  machineEnsure: "make or change a machine there",
  machineStart: "start a machine there",
  machineStop: "stop a machine there",
  machineRemove: "remove a machine there",
  machinePause: "pause a machine there",
  snapshotEnsure: "take a snapshot there",
  snapshotRevert: "revert to a snapshot there",
  snapshotRemove: "remove a snapshot there",
  channelRun: "run a command in a guest there",
  consoleOpen: "open a console there",
};

export function observeOnly(provider: Provider, endpoint: string): Provider {
  const wrapped: Record<string, unknown> = { kind: provider.kind, capabilities: provider.capabilities };
  for (const [method, what] of Object.entries(methods) as [Method, string][]) {
    wrapped[method] =
      what === "reads"
        ? provider[method].bind(provider)
        : () => Promise.reject(observedOnly(endpoint, `an order or a request wanted to ${what}`));
  }
  // The table names every method of the contract, and the compiler says so when it does not.
  return wrapped as unknown as Provider;
}

function observedOnly(endpoint: string, internal: string): AppError {
  return new AppError("not_ours", `endpoint ${endpoint} is only observed; nothing there is touched`, {
    internal,
    detail: [
      {
        constraint: `nothing is changed at endpoint ${endpoint}`,
        source: `mode "observe" of endpoint ${endpoint}`,
        nearest: `use another endpoint, or have its operator agree and add it again without --observe`,
      },
    ],
  });
}
