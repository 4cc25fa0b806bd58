/** The console of a container (/dev/console) as a byte stream. LXD allows one at a time. */
import { Duplex } from "node:stream";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { Websocket } from "#lib/websocket.ts";
import type { MachineRef } from "#provider/contract.ts";
import { parseMetadata, type LxdConnection } from "./connection.ts";
import { instancePower } from "./instance.ts";
import { instanceGet } from "./rounds.ts";

const secretsSchema = z.object({ fds: z.object({ "0": z.string(), control: z.string() }) });
const width = 80;
const height = 25;

export async function consoleOpen(ctx: CallContext, lxd: LxdConnection, ref: MachineRef): Promise<Duplex> {
  const { instance } = await instanceGet(ctx, lxd, ref);
  if (instancePower(instance) !== "running") throw new AppError("endpoint_busy", "The machine does not run");
  const path = `/1.0/instances/${encodeURIComponent(ref.name)}/console`;
  const { operation } = await lxd.request(ctx, "POST", path, { body: { width, height, type: "console" } });
  if (operation === null) throw new AppError("endpoint_refused", "The endpoint did not open the console");
  const { fds } = parseMetadata(secretsSchema, operation.metadata, "console");
  const open = (secret: string) => lxd.websocket(ctx, `/1.0/operations/${operation.id}/websocket?secret=${secret}`);
  const control = await open(fds.control);
  try {
    return websocketDuplex(await open(fds["0"]), control);
  } catch (error) {
    control.close();
    throw error;
  }
}

/** Bytes in both directions over binary messages. Ending or destroying the stream closes both connections, which frees the console. */
function websocketDuplex(data: Websocket, control: Websocket): Duplex {
  const messages = data.messages()[Symbol.asyncIterator]();
  const close = () => {
    data.close();
    control.close();
  };
  return new Duplex({
    read() {
      messages.next().then(
        ({ done, value }) => this.push(done === true || value.text ? null : value.data),
        (error: Error) => this.destroy(error),
      );
    },
    write(chunk: Buffer, _encoding, callback) {
      data.send(chunk).then(() => callback(), callback);
    },
    final(callback) {
      close();
      callback();
    },
    destroy(error, callback) {
      close();
      callback(error);
    },
  });
}
