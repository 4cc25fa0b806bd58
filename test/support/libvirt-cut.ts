/**
 * A way to a libvirtd that breaks after a number of requests, as when the control plane is killed between two calls: the last request still
 * arrives and is carried out, its answer does not come back, and nothing else gets through.
 */
import { createServer, connect, type Server, type Socket } from "node:net";
import { rm } from "node:fs/promises";

export interface LibvirtCut {
  readonly socket: string;
  /** Requests that came through; on all connections together. */
  readonly requests: number;
  /** Lets so many more through. */
  allow(requests: number): void;
  close(): Promise<void>;
}

export async function libvirtCutStart(socket: string, target: string): Promise<LibvirtCut> {
  await rm(socket, { force: true });
  const open = new Set<Socket>();
  const count = { seen: 0, allowed: 0 };
  const breakAll = () => {
    for (const one of open) one.destroy();
  };
  const server: Server = createServer((client) => {
    const upstream = connect(target);
    for (const one of [client, upstream]) {
      open.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        open.delete(one);
        client.destroy();
        // What was sent is read to its end by libvirtd, whatever becomes of the connection.
        upstream.end();
      });
    }
    if (count.seen >= count.allowed) return breakAll();
    let waiting = Buffer.alloc(0);
    upstream.on("data", (chunk) => {
      if (count.seen < count.allowed) client.write(chunk);
    });
    client.on("data", (chunk: Buffer) => {
      waiting = Buffer.concat([waiting, chunk]);
      while (waiting.length >= 4 && waiting.length >= waiting.readUInt32BE(0)) {
        const message = waiting.subarray(0, waiting.readUInt32BE(0));
        waiting = waiting.subarray(message.length);
        upstream.write(message);
        count.seen += 1;
        if (count.seen < count.allowed) continue;
        // libvirtd drops a request whose connection is gone before it began; so it gets the time to begin, and to end.
        setTimeout(breakAll, graceMs);
        client.pause();
        return;
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    socket,
    get requests() {
      return count.seen;
    },
    allow: (requests) => {
      count.seen = 0;
      count.allowed = requests;
    },
    close: async () => {
      breakAll();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const graceMs = 150;
