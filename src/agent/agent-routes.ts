/** The routes of the agent's API, each one line of meaning: which of the agent's parts does the work. */
import { join } from "node:path";
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import type { AgentRequest, AgentRoute } from "#agent/agent-server.ts";
import { bodyParse } from "#agent/agent-server.ts";
import { exposureSchema, ownerSchema, segmentSchema } from "#agent/agent-state.ts";
import type { Exposures } from "#agent/exposures.ts";
import { buildImage } from "#agent/image-build.ts";
import type { Reach } from "#agent/reach.ts";
import { prefixContains, segmentEnsure, segmentList, segmentRemove } from "#agent/segments.ts";
import { siteDown, siteObserve, siteUp } from "#agent/site.ts";

const absolutePath = z.string().startsWith("/").max(4_096);
/** `cacheDir` default: `images` in the agent's home. */
const imageBuildSchema = z.object({ recipe: absolutePath, cacheDir: absolutePath.optional() });
const siteUpSchema = z.object({ daemons: z.enum(["own", "host"]).default("own") });

export function agentRoutes(agent: AgentContext, exposures: Exposures, reach: Reach): AgentRoute[] {
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
    {
      method: "POST",
      path: "/v1/images/build",
      // Not in the queue: a build takes minutes and touches nothing of the site.
      stream: async (request, emit) => {
        const { recipe, cacheDir } = bodyParse(imageBuildSchema, request.body);
        const onProgress = (stage: string) => emit({ phase: stage });
        const folder = cacheDir ?? join(agent.layout.home, "images");
        return { image: await buildImage({ recipe, cacheDir: folder, log: agent.log, onProgress, signal: request.signal }) };
      },
    },
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
