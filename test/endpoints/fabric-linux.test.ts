/** The linux fabric on a real site: the conformance suite. What the agent does beyond the contract is in agent.test.ts. */
import { fabricConformance } from "#fabric/conformance.ts";
import { linuxFabricCapabilities, linuxFabricFactory } from "#fabrics/linux/fabric.ts";
import { attachProbeHost, hostItself } from "../support/probe-host.ts";
import { startTestSite } from "../support/site.ts";
import type { TestSite } from "../support/site.ts";

let site: TestSite;

fabricConformance({
  name: "linux",
  capabilities: linuxFabricCapabilities,
  async start() {
    site = await startTestSite();
  },
  stop: () => site.stop(),
  open: async () => linuxFabricFactory.open(site.fabricConfig),
  attachHost: (segment, address) => attachProbeHost(site.namespace, segment, address),
  outside: async () => hostItself(site.hostAddress),
  async restart() {
    await site.agentKill();
    await site.agentStart();
  },
});
