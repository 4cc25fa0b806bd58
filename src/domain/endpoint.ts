/**
 * Endpoints as configuration: how they may be used, where they are, which parts of their configuration are secret, and what a check of one
 * says. Providers parse their own configuration; what is here holds for all of them.
 */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Json } from "#domain/json.ts";

/** `observe`: looked at and never touched. */
export const endpointModes = ["manage", "observe"] as const;
export type EndpointMode = (typeof endpointModes)[number];

export const endpointLimits = { configDepth: 8, secrets: 16, secretCharacters: 64 * 1024 } as const;

/** What a check looks at, in this order: each needs the ones before. */
export const checkSteps = [
  "configuration",
  "address",
  "connection",
  "certificate",
  "protocol",
  "rights",
  "version",
  "capabilities",
  "capacity",
] as const;
export type CheckStep = (typeof checkSteps)[number];

export const endpointCheckLineSchema = z.object({
  step: z.enum(checkSteps),
  outcome: z.enum(["ok", "refused", "skipped"]).meta({ description: "`skipped`: not needed here, or an earlier step was refused" }),
  says: z.string(),
  fix: z.string().nullable().meta({ description: "What to change so that it passes; null when nothing is to be changed" }),
});
export type EndpointCheckLine = z.infer<typeof endpointCheckLineSchema>;

export const endpointCheckSchema = z
  .object({
    endpoint: z.string(),
    ok: z.boolean().meta({ description: "No step was refused" }),
    lines: z.array(endpointCheckLineSchema),
  })
  .meta({ id: "EndpointCheck" });
export type EndpointCheckView = z.infer<typeof endpointCheckSchema>;

/** Where a configuration points to, as far as a socket is concerned. */
export type EndpointAddress =
  | { readonly type: "unix"; readonly path: string }
  | { readonly type: "tcp"; readonly host: string; readonly port: number; readonly isTls: boolean };

const schemePorts: Readonly<Record<string, { readonly port: number; readonly isTls: boolean }>> = {
  "qemu+tls": { port: 16_514, isTls: true },
  "qemu+tcp": { port: 16_509, isTls: false },
  https: { port: 8_443, isTls: true },
};

/** `qemu+unix:///path/to/socket`, `qemu+unix:///system?socket=/path`, `qemu+tls://host/system`, `https://host:8443`, or a path. */
export function addressOf(text: string): EndpointAddress {
  if (text.startsWith("/")) return { type: "unix", path: text };
  const [, scheme = "", rest = ""] = /^([a-z+]+):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === "qemu+unix" || scheme === "unix" || scheme === "qemu") {
    const [path = "", query = ""] = rest.split("?");
    const socket = new URLSearchParams(query).get("socket");
    if (socket !== null && socket.startsWith("/")) return { type: "unix", path: socket };
    if (path === "/system") return { type: "unix", path: "/run/libvirt/libvirt-sock" };
    if (path.startsWith("/")) return { type: "unix", path };
  }
  const known = Object.hasOwn(schemePorts, scheme) ? schemePorts[scheme] : undefined;
  const [, host, port] = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?(?:[/?].*)?$/.exec(rest) ?? [];
  if (known === undefined || host === undefined || Number(port ?? 1) > 65_535) throw badAddress(text);
  return { type: "tcp", host: host.replaceAll(/^\[|\]$/g, ""), port: port === undefined ? known.port : Number(port), isTls: known.isTls };
}

function badAddress(text: string): AppError {
  const constraint = `"${text}" is no address of an endpoint`;
  const nearest = "use qemu+unix:///run/libvirt/libvirt-sock, qemu+tls://HOST/system, https://HOST:8443, or the path of a socket";
  return new AppError("invalid_input", constraint, { detail: [{ constraint, source: "address", nearest }] });
}

const secretNames = /^(key|clientKey|privateKey|password|passphrase|secret|token)$/;
const privateKeyMark = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;

/** A member of a configuration that was taken out of it. */
export interface ConfigSecret {
  readonly path: readonly string[];
  readonly value: string;
}

/** Takes what is secret out of a configuration: by its name, and every private key whatever its name is. */
export function splitSecrets(config: Json): { readonly open: Json; readonly secrets: readonly ConfigSecret[] } {
  const secrets: ConfigSecret[] = [];
  const open = strip(config, [], secrets);
  if (secrets.length > endpointLimits.secrets || secrets.some(({ value }) => value.length > endpointLimits.secretCharacters))
    throw tooMuch(`${endpointLimits.secrets} secrets of ${endpointLimits.secretCharacters} characters`);
  return { open, secrets };
}

function strip(value: Json, path: readonly string[], secrets: ConfigSecret[]): Json {
  if (path.length > endpointLimits.configDepth) throw tooMuch(`${endpointLimits.configDepth} levels`);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    if (privateKeyMark.test(JSON.stringify(value))) throw misplacedKey(path);
    return value;
  }
  const kept: Record<string, Json> = {};
  for (const [name, member] of Object.entries(value)) {
    const inner = [...path, name];
    const isSecret = typeof member === "string" && (secretNames.test(name) || privateKeyMark.test(member));
    if (isSecret) secrets.push({ path: inner, value: member });
    else kept[name] = strip(member as Json, inner, secrets);
  }
  return kept;
}

/** The configuration as it was before `splitSecrets`. */
export function joinSecrets(open: Json, secrets: readonly ConfigSecret[]): Json {
  return secrets.reduce((joined, { path, value }) => withMember(joined, path, value), open);
}

function withMember(value: Json, [name = "", ...rest]: readonly string[], secret: string): Json {
  const object = typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, Json>) : {};
  return { ...object, [name]: rest.length === 0 ? secret : withMember(object[name] ?? {}, rest, secret) };
}

function tooMuch(limit: string): AppError {
  const constraint = `a configuration has at most ${limit}`;
  return new AppError("invalid_input", constraint, { detail: [{ constraint, source: "config", nearest: "make it smaller" }] });
}

function misplacedKey(path: readonly string[]): AppError {
  const constraint = "a private key stands in a member of its own";
  return new AppError("invalid_input", constraint, {
    detail: [{ constraint, source: `config, ${path.join(".")}`, nearest: "give it as `key`" }],
  });
}
