/**
 * The HTTP client of this code base: to a unix socket, or over TLS with certificates of our own choice. It opens, bounds and gives up;
 * what the bodies mean is its users' business. No retries. A missing or broken connection is `endpoint_unreachable` (the work may have
 * been done), an abort is `timeout` or `cancelled`, a peer that is not who it should be is `endpoint_refused` before anything was sent.
 */
import { X509Certificate } from "node:crypto";
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as TlsAgent, request as httpsRequest, type RequestOptions as TlsRequestOptions } from "node:https";
import type { Duplex, Readable } from "node:stream";
import { checkServerIdentity as nameCheck, type PeerCertificate } from "node:tls";
import { AppError } from "#domain/error.ts";
import { abortError } from "#lib/abort.ts";

/** How many connections one client opens at once; more requests wait. Those that are not kept may live long: events, uploads. */
const keptSocketLimit = 64;
const singleSocketLimit = 1024;

export interface TlsTarget {
  readonly host: string;
  readonly port: number;
  /** Our own certificate and its key, PEM. */
  readonly cert: string;
  readonly key: string;
  /** PEM: the authority that must have issued the server's certificate for this host, or that certificate itself, whatever its name. */
  readonly ca: string;
}

export type HttpTarget = { readonly socketPath: string } | TlsTarget;

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string | number>>;
  /** A stream needs a content-length among the headers. */
  readonly body?: string | Buffer | Readable;
  /** Bounds the exchange up to the last byte of the answer; of an upgrade the opening only. */
  readonly signal: AbortSignal;
}

export interface Upgraded {
  readonly response: IncomingMessage;
  /** Null when the server did not switch protocols: `response` says why, and is the caller's to read. */
  readonly socket: Duplex | null;
}

export class HttpClient {
  readonly #target: HttpTarget;
  readonly #options: RequestOptions;
  readonly #agent: Agent;

  /** With `keepAlive` a connection is used again. A kept one may have died with its server, which only a new request finds out. */
  constructor(target: HttpTarget, { keepAlive }: { readonly keepAlive: boolean }) {
    this.#target = target;
    this.#options = "socketPath" in target ? { socketPath: target.socketPath } : tlsOptions(target);
    const agentOptions = { keepAlive, maxSockets: keepAlive ? keptSocketLimit : singleSocketLimit };
    this.#agent = "socketPath" in target ? new Agent(agentOptions) : new TlsAgent(agentOptions);
  }

  /** Resolves with the head of the answer; its body is the caller's to read or destroy. */
  send(options: HttpRequest): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const { signal, body } = options;
      if (signal.aborted) return reject(abortError(signal));
      const sent = this.#open(options, this.#agent);
      const unbind = bindAbort(sent, signal);
      sent.on("response", (response) => {
        response.once("close", unbind);
        resolve(response);
      });
      sent.on("error", (cause) => {
        unbind();
        reject(signal.aborted ? abortError(signal) : this.#lost(cause));
      });
      if (body === undefined || typeof body === "string" || Buffer.isBuffer(body)) return void sent.end(body);
      body.on("error", (cause) => sent.destroy(new AppError("internal", "What was to be sent cannot be read", { cause })));
      body.pipe(sent);
    });
  }

  /** Asks for another protocol, on a connection of its own. */
  upgrade(options: HttpRequest): Promise<Upgraded> {
    return new Promise((resolve, reject) => {
      const { signal } = options;
      if (signal.aborted) return reject(abortError(signal));
      const sent = this.#open(options, false);
      const unbind = bindAbort(sent, signal);
      sent.on("upgrade", (response, socket, head) => {
        unbind();
        if (head.length > 0) socket.unshift(head);
        resolve({ response, socket });
      });
      sent.on("response", (response) => {
        response.once("close", unbind);
        resolve({ response, socket: null });
      });
      sent.on("error", (cause) => {
        unbind();
        reject(signal.aborted ? abortError(signal) : this.#lost(cause));
      });
      sent.end();
    });
  }

  /** Reads the whole body as text; beyond the limit `endpoint_refused`. */
  async readText(response: IncomingMessage, limitBytes: number, signal: AbortSignal): Promise<string> {
    const chunks: Buffer[] = [];
    let bytes = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        bytes += chunk.length;
        if (bytes > limitBytes) throw new AppError("endpoint_refused", "The endpoint's answer is too long");
        chunks.push(chunk);
      }
    } catch (cause) {
      if (cause instanceof AppError) throw cause;
      throw signal.aborted ? abortError(signal) : this.#lost(cause);
    }
    return Buffer.concat(chunks).toString();
  }

  /** Drops kept connections. */
  close(): void {
    this.#agent.destroy();
  }

  #open({ method, path, headers }: HttpRequest, agent: Agent | false): ClientRequest {
    const options = { ...this.#options, method, path, agent, headers: { ...headers } };
    return "socketPath" in this.#target ? httpRequest(options) : httpsRequest(options);
  }

  #lost(cause: unknown): AppError {
    if (cause instanceof AppError) return cause;
    const code = (cause as { code?: unknown } | null)?.code;
    const where = "socketPath" in this.#target ? this.#target.socketPath : `${this.#target.host}:${this.#target.port}`;
    if (typeof code === "string" && wrongPeerCodes.test(code)) return wrongPeer(where, cause);
    return new AppError("endpoint_unreachable", "The endpoint does not answer", { cause, internal: `${where}: ${String(cause)}` });
  }
}

/** OpenSSL's verdicts on a certificate, and Node's on the name in it. */
const wrongPeerCodes =
  /^(CERT_|CRL_|ERR_TLS_CERT|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_(GET|VERIFY)_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH)/;

function wrongPeer(where: string, cause: unknown): AppError {
  return new AppError("endpoint_refused", "The endpoint's certificate is not the one that was configured", {
    detail: [
      {
        constraint: "the endpoint must show the configured certificate, or one that the configured authority issued for its name",
        source: `configuration of the endpoint at ${where}`,
        nearest: "make sure that nobody stands between, then configure the certificate that the endpoint has now",
      },
    ],
    cause,
    internal: `${where}: ${String(cause)}`,
  });
}

function tlsOptions({ ca, ...target }: TlsTarget): RequestOptions {
  const known = new X509Certificate(ca).raw;
  // OpenSSL judges the chain; this check is about the name. A manager's own certificate names its host as it likes: there the
  // certificate is what was agreed on, not the name.
  const checkServerIdentity = (host: string, peer: PeerCertificate) => (peer.raw.equals(known) ? undefined : nameCheck(host, peer));
  const options: TlsRequestOptions = { ...target, ca, minVersion: "TLSv1.2", allowPartialTrustChain: true, checkServerIdentity };
  return options;
}

function bindAbort(sent: ClientRequest, signal: AbortSignal): () => void {
  const onAbort = () => sent.destroy(abortError(signal));
  signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
}
