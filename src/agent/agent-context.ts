import type { Clock, Log } from "#domain/context.ts";
import type { StateFile } from "#agent/agent-state.ts";
import type { SiteLayout } from "#agent/site-layout.ts";

/** What every part of the agent is handed. */
export interface AgentContext {
  readonly layout: SiteLayout;
  readonly state: StateFile;
  readonly log: Log;
  readonly clock: Clock;
  /** Host address exposures listen on. */
  readonly exposeAddress: string;
  /** How VMs run here; null = found by probing. */
  readonly accelerator: "kvm" | "tcg" | null;
}

/** The network namespace everything happens in; null when the site is made of the host's own daemons. */
export function siteNamespace(agent: AgentContext): string | null {
  return agent.state.current().site?.daemons === "host" ? null : agent.layout.namespace;
}
