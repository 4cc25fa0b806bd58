/**
 * `strat agent`: the small root process on a Linux host that carries out what a control plane without root rights asks for:
 * the site's namespaces and daemons, segments, exposures, reach, and the building of images.
 *
 * Invariants. Nothing on the host changes but one veth, one named namespace, one control group and the home folder; all of it goes
 * with `DELETE /v1/site`. Everything that changes the site runs one after the other, in one queue. The agent may be killed at any
 * moment: guests, daemons and namespaces keep running, and the next agent on the same home adopts them from the state file. It
 * has no opinion of its own: it restarts nothing unasked, and knows no vApp but the owner marks it is given.
 */
import { chmod, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { Clock, Log } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import { systemClock } from "#lib/clock.ts";
import { makeLog } from "#lib/log.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import type { AgentRequest, AgentRoute } from "#agent/agent-server.ts";
import { bodyParse, makeAgentServer } from "#agent/agent-server.ts";
import { exposureSchema, openStateFile, ownerSchema, segmentSchema } from "#agent/agent-state.ts";
import { openExposures } from "#agent/exposures.ts";
import type { Exposures } from "#agent/exposures.ts";
import { openReach } from "#agent/reach.ts";
import type { Reach } from "#agent/reach.ts";
import { prefixContains, segmentEnsure, segmentList, segmentRemove } from "#agent/segments.ts";
import { socketAnswers } from "#agent/site-daemons.ts";
import { siteLayout } from "#agent/site-layout.ts";
import { siteDown, siteObserve, siteUp } from "#agent/site.ts";

export interface AgentOptions {
  /** Folder of the agent and its site. Made when missing. */
  readonly home: string;
  readonly siteName: string;
  /** Default: `agent.sock` in the home folder. */
  readonly socket?: string;
  /** Host address exposures listen on; default 127.0.0.1. */
  readonly exposeAddress?: string;
  /** Default: found by probing when the site is made. */
  readonly accelerator?: "kvm" | "tcg";
  readonly log?: Log;
  readonly clock?: Clock;
}

export interface Agent {
  readonly socket: string;
  /** Stops serving. The site keeps running. */
  close(): Promise<void>;
}

export async function startAgent(options: AgentOptions): Promise<Agent> {
  const layout = siteLayout(options.home, options.siteName);
  await mkdir(layout.home, { recursive: true });
  const socket = options.socket ?? join(layout.home, "agent.sock");
  if (await socketAnswers(socket)) throw new AppError("conflict", `an agent already serves ${socket}`);
  const agent: AgentContext = {
    layout,
    state: await openStateFile(layout.stateFile),
    log: options.log ?? makeLog({ name: "agent" }),
    clock: options.clock ?? systemClock,
    exposeAddress: options.exposeAddress ?? "127.0.0.1",
    accelerator: options.accelerator ?? null,
  };
  const reach = openReach(agent);
  const exposures = openExposures(agent, reach);
  await exposures.restore();
  const server = makeAgentServer(agentRoutes(agent, exposures, reach), (target) => reach.open(target), agent.log);
  await rm(socket, { force: true });
  // Created without rights for others: a chmod alone would leave a moment in which anybody could connect.
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(socket, resolve));
  } finally {
    process.umask(umask);
  }
  await chmod(socket, 0o600);
  agent.log.info({ socket, site: layout.siteName }, "agent serves");
  return {
    socket,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await exposures.close();
      await reach.close();
      await closed;
    },
  };
}

const siteUpSchema = z.object({ daemons: z.enum(["own", "host"]).default("own") });

function agentRoutes(agent: AgentContext, exposures: Exposures, reach: Reach): AgentRoute[] {
  const queue = makeQueue();
  const progressInto = (emit: (line: object) => void) => (phase: string, seconds: number) => emit({ phase, seconds });
  return [
    { method: "GET", path: "/v1/health", handle: async () => ({ status: "ok", pid: process.pid, site: agent.layout.siteName }) },
    { method: "GET", path: "/v1/site", handle: async () => ({ site: await siteObserve(agent) }) },
    {
      method: "PUT",
      path: "/v1/site",
      stream: async (request, emit) => {
        const { daemons } = bodyParse(siteUpSchema, request.body ?? {});
        return { site: await queue(() => siteUp(agent, daemons, progressInto(emit))) };
      },
    },
    {
      method: "DELETE",
      path: "/v1/site",
      stream: async (request, emit) => {
        const keepData = request.query.get("keep") === "data";
        await queue(async () => {
          if (!keepData) await exposures.close();
          await reach.close();
          await siteDown(agent, { keepData }, progressInto(emit));
        });
        return { site: await siteObserve(agent) };
      },
    },
    { method: "GET", path: "/v1/segments", handle: async () => ({ items: await segmentList(agent) }) },
    {
      method: "PUT",
      path: "/v1/segments/:name",
      handle: async (request) => {
        const wish = bodyParse(segmentSchema, named(request));
        if (!prefixContains(wish.prefix, wish.gateway)) throw new AppError("invalid_input", `${wish.gateway} is not in ${wish.prefix}`);
        return await queue(() => segmentEnsure(agent, wish));
      },
    },
    {
      method: "DELETE",
      path: "/v1/segments/:name",
      handle: (request) => queue(() => segmentRemove(agent, request.name, ownerOf(request))),
    },
    { method: "GET", path: "/v1/exposures", handle: async () => ({ items: exposures.list() }) },
    {
      method: "PUT",
      path: "/v1/exposures/:name",
      handle: async (request) => {
        const { port, ...wish } = bodyParse(exposureSchema, named(request));
        return await queue(() => exposures.ensure(port === undefined ? wish : { ...wish, port }));
      },
    },
    { method: "DELETE", path: "/v1/exposures/:name", handle: (request) => queue(() => exposures.remove(request.name, ownerOf(request))) },
  ];
}

/** The path names the object; a body that says otherwise is overruled. */
function named(request: AgentRequest): object {
  return { ...(typeof request.body === "object" ? request.body : {}), name: request.name };
}

function ownerOf(request: AgentRequest): OwnerMark {
  return bodyParse(ownerSchema, Object.fromEntries(request.query));
}

/** Runs pieces of work one after the other, each after the one before it ended well or badly. */
function makeQueue(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const result = last.then(work, work);
    last = result.catch(() => {});
    return result;
  };
}
