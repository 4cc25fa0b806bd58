/**
 * Commands that start or use something on this machine. The registration point: a command is one line in `localCommands` and a file
 * beside this one. What a command needs is imported when it runs, so that `strat vapp ls` does not load a server.
 */
import type { Command } from "commander";
import { registerAgent } from "#cli/local/agent.ts";
import { registerDemo } from "#cli/local/demo-command.ts";
import { registerImageBuild } from "#cli/local/image-build.ts";
import { registerUp } from "#cli/local/up.ts";

export const localCommands: readonly ((program: Command) => void)[] = [registerUp, registerAgent, registerImageBuild, registerDemo];
