/** `strat agent`: the root process of a Linux host that serves one site. */
import type { Command } from "commander";
import { Option } from "commander";
import { join } from "node:path";
import { untilStopped } from "#cli/local/stop-signal.ts";
import { homeFolder } from "#cli/session.ts";

interface AgentCommandOptions {
  readonly home: string;
  readonly site: string;
  readonly socket?: string;
  readonly expose?: string;
  readonly accelerator?: "kvm" | "tcg";
  readonly json?: boolean;
}

export function registerAgent(program: Command): void {
  program
    .command("agent")
    .description("serve this Linux host as a site (root): namespaces, networks, daemons, image builds")
    .requiredOption("--site <name>", "name of the site")
    .option("--home <folder>", "where the agent keeps its site", join(homeFolder(), "agent"))
    .option("--socket <path>", "socket of its API; default: agent.sock in its home")
    .option("--expose <address>", "address of this host that exposed ports listen on; default 127.0.0.1")
    .addOption(new Option("--accelerator <kind>", "default: found by probing").choices(["kvm", "tcg"]))
    .action(async function (this: Command) {
      const options = this.optsWithGlobals<AgentCommandOptions>();
      const { startAgent } = await import("#agent/agent.ts");
      const agent = await startAgent({
        home: options.home,
        siteName: options.site,
        ...(options.socket === undefined ? {} : { socket: options.socket }),
        ...(options.expose === undefined ? {} : { exposeAddress: options.expose }),
        ...(options.accelerator === undefined ? {} : { accelerator: options.accelerator }),
      });
      const said =
        options.json === true
          ? JSON.stringify({ socket: agent.socket, pid: process.pid })
          : `agent of site ${options.site} at ${agent.socket}`;
      process.stdout.write(`${said}\n`);
      await untilStopped();
      await agent.close();
    });
}
