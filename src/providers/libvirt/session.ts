/**
 * Opens connections to one libvirtd and keeps shared ones. A shared connection is opened by the first call that needs it, and again by
 * the first call after it was lost; nothing is retried.
 */
import { AppError } from "#domain/error.ts";
import { XdrWriter } from "#lib/xdr.ts";
import type { Connector } from "#providers/libvirt/connector.ts";
import { translated } from "#providers/libvirt/failure.ts";
import { procedure, remoteProgram } from "#providers/libvirt/protocol.ts";
import { RpcConnection } from "#providers/libvirt/rpc.ts";

/** libvirtd probes QEMU before its first answer: up to 8 s with an empty cache on an idle machine. */
const openTimeoutMs = 60_000;
const authNone = 0;
/** `VIR_CONNECT_RO`. */
const readOnlyFlag = 1;

/** A connection of one's own, ready for calls. The caller closes it. */
export async function openConnection(
  connector: Connector,
  { driver, readOnly }: { readonly driver: string; readonly readOnly: boolean },
  signal: AbortSignal,
): Promise<RpcConnection> {
  const connection = new RpcConnection(await connector(signal));
  try {
    const call = (number: number, payload: Buffer) =>
      connection.call({ program: remoteProgram, procedure: number, payload, timeoutMs: openTimeoutMs, signal });
    await translated("open a connection", async () => {
      const methods = (await call(procedure.authList, Buffer.alloc(0))).array((reader) => reader.int());
      if (!methods.includes(authNone)) throw new AppError("endpoint_refused", "the endpoint wants a login, which is not configured");
      await call(
        procedure.connectOpen,
        new XdrWriter()
          .optionalString(driver)
          .uint(readOnly ? readOnlyFlag : 0)
          .toBuffer(),
      );
    });
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** One connection shared by all calls of one purpose. */
export class SharedConnection {
  readonly #open: () => Promise<RpcConnection>;
  #opening: Promise<RpcConnection> | null = null;
  #current: RpcConnection | null = null;
  #closed = false;

  constructor(open: () => Promise<RpcConnection>) {
    this.#open = open;
  }

  async get(signal: AbortSignal): Promise<RpcConnection> {
    if (this.#closed) throw new AppError("endpoint_unreachable", "the connection to the endpoint was closed");
    if (this.#current?.usable === true) return this.#current;
    this.#opening ??= this.#open()
      .then((connection) => {
        if (this.#closed) connection.close();
        this.#current = connection;
        return connection;
      })
      .finally(() => {
        this.#opening = null;
      });
    return untilAborted(this.#opening, signal);
  }

  close(): void {
    this.#closed = true;
    this.#current?.close();
  }
}

/** The connection is shared, so one caller that leaves must not abort the opening that others wait for. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    promise.catch(() => {}); // Nobody waits for it any more.
    return Promise.reject(signal.reason);
  }
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
