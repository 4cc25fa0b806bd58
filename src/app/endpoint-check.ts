/**
 * The check of an endpoint, step by step: each line is what was found or the refusal with its fix. The steps follow the way of a call, so the
 * first refusal is the cause and what comes after it was not tried. Nothing at the endpoint changes, and a check before adding writes nothing.
 */
import type { EndpointWrite } from "#domain/catalogue.ts";
import {
  addressOf,
  checkSteps,
  type CheckStep,
  type EndpointAddress,
  type EndpointCheckLine,
  type EndpointCheckView,
  type EndpointMode,
} from "#domain/endpoint.ts";
import { AppError, isAppError, unreachable } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";
import type { EndpointDescription, Provider } from "#provider/contract.ts";
import type { AppContext } from "#app/context.ts";
import { addressesOf, certificateOf, connects, ownCertificateDoubt, type TlsMaterial } from "#app/endpoint-probe.ts";
import { isSilence, theEndpoint } from "#app/endpoint.ts";
import { catalogueResource } from "#app/resource.ts";
import { useCase, write } from "#app/use-case.ts";
import { endpointDescribed, endpointUnreachable } from "#store/site.ts";

/** Of all steps together; the first answer of a libvirtd takes up to 8 s. */
const checkLimitMs = 45_000;
const connectLimitMs = 5_000;

interface Subject {
  readonly name: string;
  readonly provider: string;
  readonly mode: EndpointMode;
  /** With its secrets. */
  readonly config: Json;
}

interface Checking {
  readonly ctx: AppContext;
  readonly subject: Subject;
  readonly address: EndpointAddress | null;
  readonly tls: TlsMaterial;
  provider: Provider | null;
  description: EndpointDescription | null;
}

/** Of a registered endpoint; what it says of itself is written down. */
export const checkEndpoint = useCase(
  { action: "endpoint.write", resource: catalogueResource },
  async (ctx, name: string): Promise<EndpointCheckView> => {
    const row = await theEndpoint(ctx, name);
    const { lines, description, silent } = await check(ctx, { ...row, config: ctx.platform.endpoints.configOf(row) });
    if (description !== null) await write(ctx, (tx) => endpointDescribed(tx, row.id, description));
    else if (silent) await write(ctx, (tx) => endpointUnreachable(tx, row.id));
    return viewOf(name, lines);
  },
);

/** Before it is added. */
export const checkEndpointWrite = useCase(
  { action: "endpoint.write", resource: catalogueResource },
  async (ctx, { name, provider, config, mode }: EndpointWrite): Promise<EndpointCheckView> =>
    viewOf(name, (await check(ctx, { name, provider, config, mode: mode ?? "manage" })).lines),
);

function viewOf(endpoint: string, lines: EndpointCheckLine[]): EndpointCheckView {
  return { endpoint, ok: lines.every(({ outcome }) => outcome !== "refused"), lines };
}

async function check(
  caller: AppContext,
  subject: Subject,
): Promise<{ lines: EndpointCheckLine[]; description: EndpointDescription | null; silent: boolean }> {
  const ctx = { ...caller, signal: AbortSignal.any([caller.signal, AbortSignal.timeout(checkLimitMs)]) };
  const checking: Checking = {
    ctx,
    subject,
    address: addressIn(subject.config),
    tls: tlsIn(subject.config),
    provider: null,
    description: null,
  };
  const lines: EndpointCheckLine[] = [];
  let refused: CheckStep | null = null;
  let silent = false;
  try {
    for (const step of checkSteps) {
      if (refused !== null) {
        lines.push({ step, outcome: "skipped", says: `not tried: ${refused} was refused`, fix: null });
        continue;
      }
      try {
        lines.push(await lineOf(checking, step));
      } catch (error) {
        ctx.log.info(
          { endpoint: subject.name, step, error: isAppError(error) ? (error.internal ?? error.message) : String(error) },
          "a check was refused",
        );
        lines.push(refusalLine(checking, step, error));
        silent = isSilence(error) || step === "connection" || step === "address";
      }
      if (lines.at(-1)!.outcome === "refused") refused = step;
    }
  } finally {
    await checking.provider?.close();
  }
  return { lines, description: checking.description, silent };
}

async function lineOf(checking: Checking, step: CheckStep): Promise<EndpointCheckLine> {
  const { ctx, subject, address } = checking;
  const ok = (says: string): EndpointCheckLine => ({ step, outcome: "ok", says, fix: null });
  const skipped = (says: string): EndpointCheckLine => ({ step, outcome: "skipped", says, fix: null });
  switch (step) {
    case "configuration":
      checking.provider = ctx.platform.endpoints.openProvider(subject);
      return ok(`the ${subject.provider} provider takes it`);
    case "address":
      if (address === null) return skipped("the configuration names none that we know");
      if (address.type === "unix") return ok(`socket ${address.path} of this machine`);
      return ok(`${address.host} is ${(await addressesOf(address.host)).join(", ")}`);
    case "connection": {
      if (address === null) return skipped("the provider connects as it knows");
      await connects(address, AbortSignal.any([ctx.signal, AbortSignal.timeout(connectLimitMs)]));
      return ok(`${placeOf(address)} accepts connections`);
    }
    case "certificate":
      return certificateLine(checking);
    case "protocol":
      checking.description = await checking.provider!.describe(ctx);
      return ok(`${subject.provider} is spoken there, by ${checking.description.host}`);
    case "rights": {
      const machines = await checking.provider!.machineList(ctx);
      const may = subject.mode === "observe" ? "we may look, and shall do no more" : "we may look and are let in to manage";
      return ok(`${may}; ${machines.length} machines are there`);
    }
    case "version":
      return ok(checking.description!.product);
    case "capabilities":
      return ok(capabilityWords(checking.provider!));
    case "capacity": {
      const { vcpus, memoryMiB, architecture, accelerator } = checking.description!;
      const slow = accelerator === "tcg" ? "; VMs are emulated there, about ten times slower" : "";
      return ok(`${vcpus} vCPU, ${memoryMiB} MiB, ${architecture}${accelerator === "none" ? "" : `, ${accelerator}`}${slow}`);
    }
    default:
      return unreachable(step);
  }
}

async function certificateLine({ ctx, address, tls }: Checking): Promise<EndpointCheckLine> {
  const step = "certificate";
  if (address?.type !== "tcp" || !address.isTls) return { step, outcome: "skipped", says: "no TLS on this way", fix: null };
  const doubt = ownCertificateDoubt(tls, ctx.clock.now());
  if (doubt !== null) return { step, outcome: "refused", says: doubt, fix: "give a valid certificate with --cert and its key with --key" };
  const look = await certificateOf(address, tls, AbortSignal.any([ctx.signal, AbortSignal.timeout(connectLimitMs)]));
  const whose = `of ${look.subject}, issued by ${look.issuer}, valid until ${look.validUntil}`;
  if (look.doubt === null)
    return { step, outcome: "ok", says: `${whose}; ours is ${tls.cert === null ? "not given" : "given"}`, fix: null };
  const fix =
    tls.ca === null
      ? "give the certificate of the authority that issued it with --ca"
      : "give with --ca the authority that issued it, or name the host as the certificate does";
  return { step, outcome: "refused", says: `${whose}: ${look.doubt}`, fix };
}

function capabilityWords({ capabilities }: Provider): string {
  const { machineKinds, imageFormats, events, channel, console, liveResize, pause, snapshots, volumes } = capabilities;
  const can = { events, channel, console, "live resize": liveResize, pause, snapshots, volumes };
  const words = Object.entries(can).filter(([, has]) => has);
  return `${machineKinds.join(" and ")} from ${imageFormats.join(", ")}; ${words.map(([word]) => word).join(", ")}`;
}

const fixes: Readonly<Record<CheckStep, string>> = {
  configuration: "correct the configuration",
  address: "correct the name, or enter it in DNS or /etc/hosts",
  connection: "start the service there, and let this machine through its firewall",
  certificate: "correct what --ca, --cert and --key name",
  protocol: "see that this kind of endpoint listens there, and that it trusts our certificate",
  rights: "let our user or certificate list machines there",
  version: "update it",
  capabilities: "choose another provider",
  capacity: "see that the endpoint tells its capacity",
};

function refusalLine({ address }: Checking, step: CheckStep, error: unknown): EndpointCheckLine {
  if (error instanceof AppError) {
    const [first] = error.detail;
    const says = error.detail.length === 0 ? error.message : error.detail.map(({ constraint }) => constraint).join("; ");
    return { step, outcome: "refused", says, fix: first?.nearest ?? fixes[step] };
  }
  const code = error instanceof Error && "code" in error ? String(error.code) : error instanceof DOMException ? error.name : "unknown";
  const words = Object.hasOwn(systemWords, code) ? systemWords[code]! : `it failed (${code})`;
  const fix = code === "ENOENT" && address?.type === "unix" ? "name the socket's path as it is on this machine" : fixes[step];
  return { step, outcome: "refused", says: address === null ? words : `${placeOf(address)}: ${words}`, fix };
}

const systemWords: Readonly<Record<string, string>> = {
  ENOTFOUND: "no such host is known",
  EAI_AGAIN: "the name could not be looked up now",
  ECONNREFUSED: "nobody listens there",
  ENOENT: "there is no such socket",
  EACCES: "we may not open it",
  EHOSTUNREACH: "there is no way to the host",
  ENETUNREACH: "there is no way to its network",
  ECONNRESET: "the other end closed the connection",
  TimeoutError: "no answer came in time",
};

function placeOf(address: EndpointAddress): string {
  return address.type === "unix" ? address.path : `${address.host}:${address.port}`;
}

/** Configurations differ, but where they point to they say in one of these members. */
function addressIn(config: Json): EndpointAddress | null {
  for (const member of ["uri", "url", "address", "socket"]) {
    const text = memberOf(config, member);
    if (text === null || (member === "uri" && text.startsWith("qemu:///"))) continue;
    try {
      return addressOf(text);
    } catch (error) {
      if (!isAppError(error)) throw error;
    }
  }
  return null;
}

function tlsIn(config: Json): TlsMaterial {
  const inner = isObject(config) ? (config["tls"] ?? null) : null;
  const find = (name: string) => memberOf(config, name) ?? memberOf(inner, name);
  return { ca: find("ca"), cert: find("cert"), key: find("key") };
}

function memberOf(config: Json, name: string): string | null {
  const value = isObject(config) ? config[name] : null;
  return typeof value === "string" ? value : null;
}

function isObject(value: Json): value is { readonly [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
