/**
 * The simulated site as a process of its own: `node src/providers/sim/main.ts --journal FILE --socket SOCK`. It may be killed at any
 * moment; started again with the same journal it is the same world. One process per journal: the socket's owner is the writer.
 */
import { rmSync } from "node:fs";
import { connect } from "node:net";
import { parseArgs } from "node:util";
import { makeLog } from "#lib/log.ts";
import { SimServer } from "#providers/sim/server.ts";

const log = makeLog({ name: "sim" });
const { values } = parseArgs({ options: { journal: { type: "string" }, socket: { type: "string" } } });
if (values.journal === undefined || values.socket === undefined) {
  process.stderr.write("usage: main.ts --journal FILE --socket SOCK\n");
  process.exit(2);
}
await removeDeadSocket(values.socket);
const server = new SimServer(values.journal);
await server.listen(values.socket);
log.info({ socket: values.socket, changes: server.world.changes }, "simulated site is up");
process.stdout.write("ready\n");
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    rmSync(values.socket ?? "", { force: true });
    process.exit(0); // Every change is in the journal already.
  });
}

/** A socket file survives kill -9. One that still answers belongs to a living site, whose journal must have one writer. */
async function removeDeadSocket(path: string): Promise<void> {
  const alive = await new Promise<boolean>((resolve) => {
    const socket = connect(path, () => (socket.destroy(), resolve(true)));
    socket.on("error", () => resolve(false));
  });
  if (alive) {
    log.error({ socket: path }, "another simulated site listens here");
    process.exit(1);
  }
  rmSync(path, { force: true });
}
