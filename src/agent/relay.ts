/**
 * Runs inside the site's network namespace, as a child of the agent: `node relay.ts SOCKET`. A caller connects to the unix socket
 * and sends one line `address port`; the answer is `ok` and then raw bytes, or `error CODE` and the end. It opens no port and
 * decides nothing: the agent checks where a caller may go. It ends with its standard input, so it never outlives the agent.
 */
import { createServer, connect } from "node:net";
import type { Socket } from "node:net";

const connectLimitMs = 5_000;
const lineLimitBytes = 100;

const socketPath = process.argv[2];
if (socketPath === undefined) throw new Error("usage: relay.ts SOCKET");

const server = createServer({ allowHalfOpen: true }, (caller) => {
  caller.on("error", () => caller.destroy());
  readLine(caller, (line, rest) => {
    const match = /^(\d{1,3}(?:\.\d{1,3}){3}) (\d{1,5})$/.exec(line);
    if (match === null) return void caller.end("error EINVAL\n");
    relay(caller, match[1]!, Number(match[2]), rest);
  });
});

function readLine(caller: Socket, done: (line: string, rest: Buffer) => void): void {
  let seen = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    const end = seen.indexOf("\n");
    if (end < 0) {
      if (seen.length > lineLimitBytes) caller.destroy();
      return;
    }
    caller.off("data", onData);
    caller.pause();
    done(seen.subarray(0, end).toString(), seen.subarray(end + 1));
  };
  caller.on("data", onData);
}

function relay(caller: Socket, address: string, port: number, rest: Buffer): void {
  const target = connect({ host: address, port, allowHalfOpen: true, timeout: connectLimitMs });
  let open = false;
  const refuse = (code: string) => {
    target.destroy();
    if (open) caller.destroy();
    else caller.end(`error ${code}\n`);
  };
  target.once("timeout", () => refuse("ETIMEDOUT"));
  target.once("error", (error: NodeJS.ErrnoException) => refuse(error.code ?? "EIO"));
  caller.once("close", () => target.destroy());
  target.once("connect", () => {
    open = true;
    target.setTimeout(0);
    target.setNoDelay(true);
    target.once("close", () => caller.destroySoon());
    caller.write("ok\n");
    if (rest.length > 0) target.write(rest);
    caller.pipe(target);
    target.pipe(caller);
  });
}

server.listen(socketPath, () => process.stdout.write("ready\n"));
process.stdin.once("end", () => process.exit(0));
process.stdin.resume();
