/** The serial console as a byte stream, on a connection of its own: a reader that does not read stops this connection and no other. */
import { Duplex } from "node:stream";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { MachineRef } from "#provider/contract.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { machineGet } from "#providers/libvirt/machine.ts";
import { streamPayloadBytesMax } from "#providers/libvirt/protocol.ts";
import type { RpcConnection, RpcStream, StreamListener } from "#providers/libvirt/rpc.ts";

/** One console per machine: `endpoint_busy` while somebody else has it open, or while the machine does not run. */
export async function consoleOpen(endpoint: LibvirtEndpoint, ctx: CallContext, ref: MachineRef): Promise<Duplex> {
  const client = await endpoint.ownClient(ctx);
  try {
    const { domain } = await machineGet(client, ref);
    const console = new ConsoleStream(client.connection);
    console.attach(await client.consoleOpen(domain, console.listener));
    return console;
  } catch (error) {
    client.connection.close();
    if (!isFailure(error, libvirtCode.operationFailed, libvirtCode.operationInvalid)) throw error;
    throw new AppError("endpoint_busy", "the console is in use, or the machine does not run", { cause: error, internal: error.message });
  }
}

class ConsoleStream extends Duplex {
  readonly #connection: RpcConnection;
  readonly #attached = Promise.withResolvers<RpcStream>();
  #stream: RpcStream | null = null;

  constructor(connection: RpcConnection) {
    super({ allowHalfOpen: false });
    this.#connection = connection;
  }

  get listener(): StreamListener {
    return {
      onData: (chunk) => {
        if (!this.push(chunk)) this.#stream?.pause();
      },
      onEnd: (error) => {
        if (error === null) this.push(null);
        else this.destroy(error);
      },
    };
  }

  attach(stream: RpcStream): void {
    this.#stream = stream;
    this.#attached.resolve(stream);
  }

  override _read(): void {
    this.#stream?.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#send(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#attached.promise.then((stream) => stream.finish()).then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#connection.close();
    done(error);
  }

  async #send(chunk: Buffer): Promise<void> {
    const stream = await this.#attached.promise;
    for (let at = 0; at < chunk.length; at += streamPayloadBytesMax) await stream.send(chunk.subarray(at, at + streamPayloadBytesMax));
  }
}
