/** Fills a volume through a stream of the RPC protocol: the control plane needs no access to the endpoint's files. */
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { LibvirtEndpoint } from "#providers/libvirt/endpoint.ts";
import { streamPayloadBytesMax, type VolumeHandle } from "#providers/libvirt/protocol.ts";

/** The endpoint took nothing for so long: given up. A slow disk still takes a quarter of a megabyte within it. */
const stallLimitMs = 60_000;

/** Resolves when libvirt has confirmed that everything was written. Any failure leaves the volume half filled. */
export async function volumeUpload(
  endpoint: LibvirtEndpoint,
  ctx: CallContext,
  volume: VolumeHandle,
  content: AsyncIterable<Buffer> | Iterable<Buffer>,
  lengthBytes: number,
): Promise<void> {
  const client = await endpoint.ownClient(ctx);
  const ended = Promise.withResolvers<void>();
  ended.promise.catch(() => {}); // Looked at below, possibly not before it rejects.
  const stalled = new AppError("timeout", "the endpoint stopped taking data");
  // Closing the connection is the one way to end a write that waits for the peer; the reason is kept for the caller.
  const giveUp = (reason: unknown) => {
    ended.reject(reason);
    client.connection.close();
  };
  const onAbort = () => giveUp(ctx.signal.reason);
  ctx.signal.addEventListener("abort", onAbort, { once: true });
  const timer = setTimeout(giveUp, stallLimitMs, stalled);
  try {
    const stream = await client.volumeUpload(volume, lengthBytes, {
      onData() {},
      onEnd: (error) => (error === null ? ended.resolve() : ended.reject(error)),
    });
    for await (const part of content) {
      for (let at = 0; at < part.length; at += streamPayloadBytesMax) {
        await Promise.race([stream.send(part.subarray(at, at + streamPayloadBytesMax)), ended.promise]);
        timer.refresh();
      }
    }
    await stream.finish();
    await ended.promise;
  } catch (error) {
    // When we closed the connection ourselves, its loss is not the reason.
    if (ctx.signal.aborted) throw ctx.signal.reason;
    throw error;
  } finally {
    clearTimeout(timer);
    ctx.signal.removeEventListener("abort", onAbort);
    client.connection.close();
  }
}
