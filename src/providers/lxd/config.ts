/** How an LXD endpoint is configured: where it is, who we are there, and where machines go. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { HttpTarget } from "#lib/http-client.ts";

/** Storage pool for the machines' root file systems and volumes; it must exist. */
const pool = z.string().min(1);
const pem = (what: RegExp) => z.string().regex(what, "not in PEM form");
const certificate = pem(/-----BEGIN CERTIFICATE-----/);

export const lxdConfig = z.union([
  z.strictObject({
    /** Path of the daemon's unix socket. */
    socket: z.string().min(1),
    pool,
  }),
  z.strictObject({
    /** `https://HOST` or `https://HOST:PORT`: what LXD's `core.https_address` listens on. */
    url: z.url({ protocol: /^https$/ }),
    pool,
    /** A client certificate that LXD trusts (`lxc config trust add`), and its key. */
    cert: certificate,
    key: pem(/-----BEGIN [A-Z ]*PRIVATE KEY-----/),
    /** LXD's own certificate (`server.crt` in its folder), or the authority that issued it for this host. */
    ca: certificate,
  }),
]);
export type LxdConfig = z.output<typeof lxdConfig>;

const defaultPort = 8443;

export function targetOf(config: LxdConfig): HttpTarget {
  if ("socket" in config) return { socketPath: config.socket };
  const { hostname, port } = new URL(config.url);
  const { cert, key, ca } = config;
  // Before anybody waits for an answer.
  certificateUse(cert, key, ca);
  return { host: hostname.replaceAll(/^\[|\]$/g, ""), port: port === "" ? defaultPort : Number(port), cert, key, ca };
}

function certificateUse(cert: string, key: string, ca: string): void {
  try {
    const fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
    if (!fits) throw new AppError("invalid_input", "The key is not the one of the client certificate");
    new X509Certificate(ca);
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    throw new AppError("invalid_input", "The endpoint's certificates or key cannot be read", { cause });
  }
}
