/** `strat vapp console` and `strat vapp tunnel`: a machine's serial console, or one of its ports, as a byte stream here. */
import { createServer, type Server, type Socket } from "node:net";
import { type Command, InvalidArgumentError } from "commander";
import { wholeNumber, withSession } from "#cli/command.ts";
import { EscapeFilter } from "#cli/escape.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { reportFailure } from "#cli/failure.ts";
import { faint, type Session } from "#cli/session.ts";
import { carry, machinePath, openSocket } from "#cli/socket.ts";

/** Connections of one listening tunnel at the same time; the server has its own limit. */
const connectionsMax = 16;

export function registerConsole(vapp: Command): void {
  vapp
    .command("console <vapp> <machine>")
    .description("the serial console of a machine; in a terminal, Enter ~ . ends it")
    .option("--quiet-ms <ms>", "with input from a file or pipe: end when nothing has come for so long after it", wholeNumber, 2_000)
    .action(
      withSession((session: Session, name: string, machine: string, options: { quietMs: number }) =>
        attach(session, name, machine, options),
      ),
    );
  vapp
    .command("tunnel <vapp> <machine> <port>")
    .description("a TCP port of a machine, on standard input and output, or on a port here")
    .option("--listen <port>", "on 127.0.0.1; 0 takes a free one", portNumber)
    .option("--segment <segment>", "which of its segments; default: its first")
    .action(
      withSession(async (session: Session, name: string, machine: string, port: string, options: { listen?: number; segment?: string }) => {
        const query = new URLSearchParams({
          port: String(portNumber(port)),
          ...(options.segment === undefined ? {} : { segment: options.segment }),
        });
        const path = machinePath(name, machine, `tunnel?${query.toString()}`);
        if (options.listen !== undefined) return listen(session, path, options.listen);
        await carry(await openSocket(session, path), { input: process.stdin, output: process.stdout, atEnd: "half" });
      }),
    );
}

function portNumber(text: string): number {
  const port = wholeNumber(text);
  if (port > 65_535) throw new InvalidArgumentError("a port is at most 65535");
  return port;
}

async function attach(session: Session, vapp: string, machine: string, { quietMs }: { quietMs: number }): Promise<void> {
  const socket = await openSocket(session, machinePath(vapp, machine, "console"));
  const { stdin, stdout } = process;
  if (!stdin.isTTY) return carry(socket, { input: stdin, output: stdout, atEnd: { quietMs } });
  process.stderr.write(`${faint(`console of ${machine}; Enter ~ . ends it`)}\r\n`);
  const filter = new EscapeFilter();
  const restore = () => void stdin.setRawMode(false);
  const onSignal = () => socket.terminate();
  // A terminal that stays raw is unusable: it is given back on every way out there is.
  process.once("exit", restore);
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.once(signal, onSignal);
  stdin.setRawMode(true);
  try {
    await carry(socket, { input: stdin, output: stdout, filter: (chunk) => filter.take(chunk), atEnd: { quietMs: 0 } });
  } finally {
    restore();
    process.off("exit", restore);
    for (const signal of ["SIGTERM", "SIGHUP"] as const) process.off(signal, onSignal);
    process.stderr.write(`\r\n${faint("console closed")}\r\n`);
  }
}

/** Until it is interrupted. A refused connection is closed and its reason said; the next one is tried anew. */
async function listen(session: Session, path: string, port: number): Promise<void> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (local) => {
    open.add(local);
    local.once("close", () => open.delete(local));
    local.on("error", () => local.destroy());
    void tunnelOne(session, path, local);
  });
  server.maxConnections = connectionsMax;
  await listening(server, port);
  const address = server.address() as { port: number };
  session.show({ address: "127.0.0.1", port: address.port }, () => `127.0.0.1:${address.port}`);
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  server.close();
  for (const local of open) local.destroy();
}

async function tunnelOne(session: Session, path: string, local: Socket): Promise<void> {
  try {
    const socket = await openSocket(session, path);
    local.once("close", () => socket.close(1000));
    await carry(socket, { input: local, output: local, atEnd: "half" });
    local.end();
  } catch (error) {
    local.destroy();
    reportFailure(error, session.json);
  }
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(new CliError(exitCodes.failed, `port ${port} of this machine cannot be used: ${error.code ?? error.message}`)),
    );
    server.listen({ port, host: "127.0.0.1" }, () => resolve());
  });
}
