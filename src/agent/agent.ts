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
import { delimiter, join } from "node:path";
import type { Clock, Log } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { systemClock } from "#lib/clock.ts";
import { makeLog } from "#lib/log.ts";
import type { AgentContext } from "#agent/agent-context.ts";
import { agentRoutes } from "#agent/agent-routes.ts";
import { makeAgentServer } from "#agent/agent-server.ts";
import { openStateFile } from "#agent/agent-state.ts";
import { openExposures } from "#agent/exposures.ts";
import { thisHost } from "#agent/prerequisites.ts";
import { openReach } from "#agent/reach.ts";
import { socketAnswers } from "#agent/site-daemons.ts";
import { siteLayout } from "#agent/site-layout.ts";

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
  // Root's programs are in sbin, which a caller's PATH may lack.
  process.env["PATH"] = thisHost.searchPath.join(delimiter);
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
