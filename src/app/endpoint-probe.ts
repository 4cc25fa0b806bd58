/** Looks at the way to an endpoint, below its protocol: name, socket, certificate. Sends nothing but a TLS handshake. */
import { X509Certificate } from "node:crypto";
import { lookup } from "node:dns/promises";
import { connect as connectSocket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { EndpointAddress } from "#domain/endpoint.ts";

/** PEM texts of a configuration, where it has them. */
export interface TlsMaterial {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
}

export interface CertificateLook {
  readonly subject: string;
  readonly issuer: string;
  readonly validUntil: string;
  /** Why it is not believed; null when it is. */
  readonly doubt: string | null;
}

export async function addressesOf(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}

/** Rejects with the system's error. */
export function connects(address: EndpointAddress, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = address.type === "unix" ? connectSocket(address.path) : connectSocket(address.port, address.host);
    const onAbort = () => socket.destroy(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", onAbort));
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.destroy();
      resolve();
    });
  });
}

/** Whose certificate the server shows, and whether our authority vouches for it. */
export function certificateOf(
  { host, port }: Extract<EndpointAddress, { type: "tcp" }>,
  { ca, cert, key }: TlsMaterial,
  signal: AbortSignal,
): Promise<CertificateLook> {
  return new Promise((resolve, reject) => {
    const own = { ...(ca === null ? {} : { ca }), ...(cert === null || key === null ? {} : { cert, key }) };
    // What is wrong with the certificate is what we came for, so the handshake goes on.
    const socket = connectTls({ host, port, servername: /^[\d.:]+$/.test(host) ? "" : host, rejectUnauthorized: false, ...own });
    const onAbort = () => socket.destroy(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    socket.once("close", () => signal.removeEventListener("abort", onAbort));
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      try {
        resolve(lookOf(socket, ca));
      } catch (error) {
        reject(error as Error);
      } finally {
        socket.destroy();
      }
    });
  });
}

function lookOf(socket: TLSSocket, ca: string | null): CertificateLook {
  const shown = socket.getPeerX509Certificate();
  if (shown === undefined) throw new Error("the server shows no certificate");
  // A self-signed certificate given as its own authority is believed whatever name it bears.
  const isPinned = ca !== null && new X509Certificate(ca).fingerprint256 === shown.fingerprint256;
  const error: unknown = socket.authorizationError;
  const doubt = socket.authorized || isPinned ? null : error instanceof Error ? error.message : String(error);
  return { subject: oneLine(shown.subject), issuer: oneLine(shown.issuer), validUntil: shown.validTo, doubt: doubt ?? expired(shown) };
}

/** Why our own certificate cannot work; null when nothing speaks against it. */
export function ownCertificateDoubt({ cert, key }: TlsMaterial, now: number): string | null {
  if (cert === null || key === null) return null;
  const own = new X509Certificate(cert);
  if (Date.parse(own.validTo) < now) return `our own certificate ended on ${own.validTo}`;
  if (Date.parse(own.validFrom) > now) return `our own certificate begins on ${own.validFrom}`;
  return null;
}

function expired(certificate: X509Certificate): string | null {
  return Date.parse(certificate.validTo) < Date.now() ? "it has ended" : null;
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ");
}
