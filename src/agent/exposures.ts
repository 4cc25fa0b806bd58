/**
 * Exposures: TCP listeners of the agent on the host, each connection carried into a segment by reach. No packet rule of the host
 * is touched. The port is chosen once and kept in the state, so an exposure comes back where it was after a restart.
 */
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { AppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import { sameOwner } from "#domain/owner.ts";
import type { ExposureFacts, ExposureSpec } from "#fabric/contract.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import type { ExposureRecord } from "#agent/agent-state.ts";
import type { Reach } from "#agent/reach.ts";

const exposureLimit = 1_000;
const connectionLimit = 1_000;

export interface Exposures {
  ensure(wish: ExposureSpec): Promise<ExposureFacts>;
  remove(name: string, owner: OwnerMark): Promise<void>;
  list(): ExposureFacts[];
  /** Opens every listener on record. One whose port is taken by somebody else is logged and left closed. */
  restore(): Promise<void>;
  /** Closes all listeners and connections; the record stays. */
  close(): Promise<void>;
}

interface Listener {
  readonly server: Server;
  readonly sockets: Set<Socket>;
}

/** The open ports, by name of exposure. */
interface Listeners {
  has(name: string): boolean;
  /** Returns the port, chosen by the kernel when 0 is asked for. `conflict` when it is taken. */
  open(name: string, port: number): Promise<number>;
  shut(name: string): Promise<void>;
  shutAll(): Promise<void>;
}

function openListeners(address: string, onClient: (name: string, client: Socket) => void): Listeners {
  const listeners = new Map<string, Listener>();
  const shut = async (name: string) => {
    const listener = listeners.get(name);
    if (listener === undefined) return;
    listeners.delete(name);
    const closed = new Promise((resolve) => listener.server.close(resolve));
    for (const socket of listener.sockets) socket.destroy();
    await closed;
  };
  return {
    has: (name) => listeners.has(name),
    async open(name, port) {
      const sockets = new Set<Socket>();
      const server = createServer({ allowHalfOpen: true }, (client) => {
        sockets.add(client);
        client.once("close", () => sockets.delete(client));
        client.on("error", () => client.destroy());
        client.setNoDelay(true);
        onClient(name, client);
      });
      server.maxConnections = connectionLimit;
      await new Promise<void>((resolve, reject) => {
        server.once("error", (cause) => reject(new AppError("conflict", `port ${port} of the host is taken`, { cause })));
        server.listen(port, address, resolve);
      });
      listeners.set(name, { server, sockets });
      return (server.address() as AddressInfo).port;
    },
    shut,
    async shutAll() {
      await Promise.all([...listeners.keys()].map(shut));
    },
  };
}

export function openExposures(agent: AgentContext, reach: Reach): Exposures {
  const records = () => agent.state.current().exposures;
  const facts = (record: ExposureRecord): ExposureFacts => ({
    name: record.name,
    owner: record.owner,
    address: agent.exposeAddress,
    port: record.chosenPort,
    target: record.target,
  });
  const listeners = openListeners(agent.exposeAddress, (name, client) => {
    const record = records()[name];
    if (record === undefined) return void client.destroy();
    reach.open(record.target).then(
      (inner) => splice(client, inner),
      (error: unknown) => {
        agent.log.debug({ name, error }, "exposed machine does not answer");
        client.resetAndDestroy();
      },
    );
  });
  return {
    async ensure(wish) {
      const known = records()[wish.name];
      if (known !== undefined && !sameOwner(known.owner, wish.owner)) throw foreign(wish.name);
      if (known === undefined && Object.keys(records()).length >= exposureLimit) {
        throw new AppError("no_capacity", `a site carries at most ${exposureLimit} exposures`);
      }
      if (agent.state.current().segments[wish.target.segment] === undefined) {
        throw new AppError("not_found", `there is no segment ${wish.target.segment}`);
      }
      const port = wish.port ?? known?.chosenPort ?? 0;
      if (known !== undefined && known.chosenPort !== port) await listeners.shut(wish.name);
      const chosenPort = listeners.has(wish.name) ? port : await listeners.open(wish.name, port);
      const record: ExposureRecord = { ...wish, owner: { ...wish.owner }, target: { ...wish.target }, chosenPort };
      if (JSON.stringify(known) !== JSON.stringify(record)) {
        const before = agent.state.current();
        await agent.state.write({ ...before, exposures: { ...before.exposures, [wish.name]: record } });
      }
      return facts(record);
    },
    async remove(name, owner) {
      const before = agent.state.current();
      const known = before.exposures[name];
      if (known === undefined) return;
      if (!sameOwner(known.owner, owner)) throw foreign(name);
      await listeners.shut(name);
      const { [name]: _removed, ...exposures } = before.exposures;
      await agent.state.write({ ...before, exposures });
    },
    list: () => Object.values(records()).map(facts),
    async restore() {
      for (const record of Object.values(records())) {
        if (listeners.has(record.name)) continue;
        await listeners
          .open(record.name, record.chosenPort)
          .catch((error: unknown) =>
            agent.log.error({ name: record.name, port: record.chosenPort, error }, "an exposure cannot be opened again"),
          );
      }
    },
    close: () => listeners.shutAll(),
  };
}

/** Joins two connections; half-closed ones stay half-closed, and the end of either ends both. */
export function splice(a: Socket, b: Socket): void {
  if (a.destroyed) return void b.destroy();
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on("error", () => to.destroy());
    from.once("close", () => to.destroySoon());
    from.pipe(to);
  }
}

function foreign(name: string): AppError {
  return new AppError("not_ours", `exposure ${name} belongs to somebody else`);
}
