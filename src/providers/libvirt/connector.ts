/**
 * Ways to a libvirtd: a unix socket, TLS, or plain TCP. Each gives a stream of bytes that libvirt's protocol goes over; nothing above sees
 * a difference.
 *
 * Over TLS both sides show certificates. The server says with one byte after the handshake that it takes ours (virnettlscontext.c), and
 * closes when it does not, so the stream is handed out only after that byte.
 */
import { X509Certificate } from "node:crypto";
import { connect as connectSocket, isIP, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { checkServerIdentity, connect as connectTls, TLSSocket, type PeerCertificate } from "node:tls";
import { AppError } from "#domain/error.ts";
import type { Transport } from "#providers/libvirt/config.ts";

export type Connector = (signal: AbortSignal) => Promise<Duplex>;

/** A host that answers does so within it, handshake included. */
const connectLimitMs = 15_000;
/** So that a dead peer is noticed although nobody asks it anything. */
const keepAliveMs = 15_000;
const accepted = 1;

export function connectorOf(transport: Transport): Connector {
  switch (transport.type) {
    case "unix":
      return (signal) => within(signal, connectSocket(transport.path), (socket) => once(socket, "connect"));
    case "tcp":
      return (signal) => within(signal, tuned(connectSocket(transport.port, transport.host)), (socket) => once(socket, "connect"));
    case "tls":
      return (signal) => within(signal, tlsSocket(transport), tlsReady);
  }
}

function tlsSocket({ host, port, ca, cert, key }: Extract<Transport, { type: "tls" }>): TLSSocket {
  // Server names are for names; of an address the certificate is checked all the same.
  const name = isIP(host) === 0 ? { servername: host } : {};
  const pinned = new X509Certificate(ca).fingerprint256;
  // A self-signed certificate given as its own authority is believed whatever name it bears.
  const identity = (of: string, shown: PeerCertificate) => (shown.fingerprint256 === pinned ? undefined : checkServerIdentity(of, shown));
  const socket = connectTls({ host, port, ca, cert, key, ...name, checkServerIdentity: identity });
  tuned(socket);
  return socket;
}

function tuned(socket: Socket): Socket {
  return socket.setNoDelay(true).setKeepAlive(true, keepAliveMs);
}

/** Waits until the socket is ready, its error, the caller's abort or the limit, whichever comes first. */
async function within<S extends Socket>(signal: AbortSignal, socket: S, ready: (socket: S) => Promise<void>): Promise<Duplex> {
  const failed = Promise.withResolvers<never>();
  const onAbort = () => failed.reject(signal.reason);
  const timer = setTimeout(() => failed.reject(unreachable(new Error(`no answer for ${connectLimitMs} ms`))), connectLimitMs);
  const onError = (cause: Error) => failed.reject(isIn(socket) ? ourCertificateRefused(cause) : connectError(cause));
  const onClose = () => failed.reject(isIn(socket) ? ourCertificateRefused() : unreachable(new Error("closed while connecting")));
  socket.on("error", onError).once("close", onClose);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    await Promise.race([ready(socket), failed.promise]);
    socket.off("error", onError).off("close", onClose);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    failed.promise.catch(() => {});
  }
}

/** Past the handshake, where only the server's word on our certificate is awaited. */
function isIn(socket: Socket): boolean {
  return socket instanceof TLSSocket && socket.authorized;
}

function once(socket: Socket, event: "connect" | "secureConnect"): Promise<void> {
  return new Promise((resolve) => socket.once(event, () => resolve()));
}

/** After the handshake: until the server has said that it takes our certificate. Leaves the socket at the first byte of the protocol. */
async function tlsReady(socket: TLSSocket): Promise<void> {
  await once(socket, "secureConnect");
  const first = await new Promise<Buffer | null>((resolve) => {
    const onReadable = () => {
      const chunk = socket.read(1) as Buffer | null;
      if (chunk !== null) done(chunk);
    };
    const onEnd = () => done(null);
    const done = (chunk: Buffer | null) => {
      socket.off("readable", onReadable).off("end", onEnd).off("error", onEnd).off("close", onEnd);
      resolve(chunk);
    };
    socket.on("readable", onReadable).once("end", onEnd).once("error", onEnd).once("close", onEnd);
  });
  if (first?.[0] !== accepted) throw ourCertificateRefused();
}

/** What Node says when it does not believe a certificate. Source: https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const untrusted =
  /^(UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED_CERT|CERT_|CRL_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|ERR_TLS_CERT_ALTNAME)/;

function connectError(cause: Error & { code?: string }): AppError {
  const code = cause.code ?? "";
  if (untrusted.test(code)) return serverCertificateRefused(cause);
  // An alert instead of the end of the handshake: the server does not like what it was shown.
  if (code.startsWith("ERR_SSL_")) return ourCertificateRefused(cause);
  return unreachable(cause);
}

function unreachable(cause: Error): AppError {
  return new AppError("endpoint_unreachable", "the endpoint cannot be reached", { cause, internal: cause.message });
}

function serverCertificateRefused(cause: Error & { code?: string }): AppError {
  const expired = cause.code === "CERT_HAS_EXPIRED";
  const constraint = expired
    ? "the endpoint's certificate has expired"
    : "the endpoint's certificate must be issued by the configured authority, for the host it is reached by";
  const nearest = expired ? "renew it there" : "give the authority that issued it as ca, or use a name that is in the certificate";
  return new AppError("endpoint_refused", "the endpoint's certificate is not to be trusted", {
    cause,
    internal: `${cause.code ?? ""}: ${cause.message}`,
    detail: [{ constraint, source: "TLS handshake", nearest }],
  });
}

function ourCertificateRefused(cause?: Error): AppError {
  return new AppError("endpoint_refused", "the endpoint does not take our certificate", {
    ...(cause === undefined ? {} : { cause, internal: cause.message }),
    detail: [
      {
        constraint: "libvirtd must know the authority of our certificate, and allow its name",
        source: "TLS handshake",
        nearest: "use a certificate of the authority in libvirtd's ca_file, named in tls_allowed_dn_list when there is one",
      },
    ],
  });
}
