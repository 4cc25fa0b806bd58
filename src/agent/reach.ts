/** The way into segments: a TCP connection opened from inside the site's namespace, where the gateways live. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { AppError } from "#domain/error.ts";
import type { ReachTarget } from "#fabric/contract.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import { siteNamespace } from "#agent/agent-context.ts";
import { prefixContains } from "#agent/segments.ts";
import { ownProgram } from "#lib/own-file.ts";

const relayFile = ownProgram("agent/relay");
const relayStartLimitMs = 10_000;
/** Longer than the relay's own limit, so that its answer comes first. */
const connectLimitMs = 7_000;

export interface Reach {
  /** `invalid_input` when the address is not in the segment, `endpoint_unreachable` when refused or unanswered. */
  open(target: ReachTarget): Promise<Socket>;
  /** Ends the relay and every open path. The next `open` starts a new one. */
  close(): Promise<void>;
}

export function openReach(agent: AgentContext): Reach {
  let relay: Promise<ChildProcess> | null = null;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    return socket;
  };
  const start = async (namespace: string) => {
    relay ??= relayStart(agent, namespace, () => (relay = null));
    return await relay.catch((error: unknown) => {
      relay = null;
      throw error;
    });
  };
  return {
    async open(target) {
      const segment = agent.state.current().segments[target.segment];
      if (segment === undefined) throw new AppError("not_found", `there is no segment ${target.segment}`);
      if (!prefixContains(segment.prefix, target.address) || target.address === segment.gateway) {
        throw new AppError("invalid_input", `${target.address} is not the address of a machine on segment ${target.segment}`);
      }
      const namespace = siteNamespace(agent);
      if (namespace === null)
        return keep(await dial(connect({ host: target.address, port: target.port, allowHalfOpen: true }), target, null));
      await start(namespace);
      return keep(
        await dial(connect({ path: agent.layout.relaySocket, allowHalfOpen: true }), target, `${target.address} ${target.port}\n`),
      );
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      const child = await relay?.catch(() => null);
      relay = null;
      if (!child || child.exitCode !== null || child.signalCode !== null) return;
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await ended;
      await rm(agent.layout.relaySocket, { force: true });
    },
  };
}

async function relayStart(agent: AgentContext, namespace: string, onEnd: () => void): Promise<ChildProcess> {
  await rm(agent.layout.relaySocket, { force: true });
  const args = [`--net=/run/netns/${namespace}`, process.execPath, relayFile, agent.layout.relaySocket];
  const child = spawn("nsenter", args, { stdio: ["pipe", "pipe", "ignore"] });
  child.once("exit", onEnd);
  await new Promise<void>((resolve, reject) => {
    const fail = (cause?: unknown) => {
      child.kill("SIGKILL");
      reject(new AppError("unavailable", "the way into the site's segments cannot be opened", { cause }));
    };
    const timer = setTimeout(fail, relayStartLimitMs);
    child.once("error", fail);
    child.once("exit", fail);
    child.stdout.once("data", () => {
      clearTimeout(timer);
      child.off("exit", fail);
      resolve();
    });
  });
  agent.log.debug({ pid: child.pid }, "relay started");
  return child;
}

/** With `hello` the other side is the relay, whose answer line is taken off before the socket is handed out. */
async function dial(socket: Socket, target: ReachTarget, hello: string | null): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const fail = (why: string) => {
      socket.destroy();
      reject(new AppError("endpoint_unreachable", `${target.address} port ${target.port} does not answer`, { internal: why }));
    };
    const onError = (error: Error) => fail(String(error));
    const onEnd = () => fail("closed before an answer");
    const timer = setTimeout(() => fail("no answer in time"), connectLimitMs);
    const succeed = () => {
      clearTimeout(timer);
      socket.off("error", onError);
      socket.off("end", onEnd);
      socket.setNoDelay(true);
      resolve(socket);
    };
    socket.once("error", onError);
    socket.once("close", () => clearTimeout(timer));
    if (hello === null) return void socket.once("connect", succeed);
    socket.once("end", onEnd);
    socket.write(hello);
    socket.on("readable", function onReadable() {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      socket.off("readable", onReadable);
      const end = chunk.indexOf("\n");
      const line = chunk.subarray(0, end).toString();
      if (line !== "ok") return fail(line);
      if (end + 1 < chunk.length) socket.unshift(chunk.subarray(end + 1));
      succeed();
    });
  });
}
