/** `strat demo`: options, and how its result reads. */
import { Option, type Command } from "commander";
import { wholeNumber } from "#cli/command.ts";
import type { DemoLeft, DemoOptions, DemoResult } from "#cli/local/demo.ts";
import { rate } from "#cli/text.ts";
import { homeFolder } from "#cli/session.ts";

interface DemoCommandOptions {
  readonly offering: string;
  readonly site: "local" | "sim";
  readonly home: string;
  readonly port: number;
  readonly down?: boolean;
  readonly purge?: boolean;
  readonly json?: boolean;
}

export function registerDemo(program: Command): void {
  program
    .command("demo")
    .description("a cloud on this machine from nothing, with one vApp in it; safe to repeat")
    .option("--offering <name>", "what to deploy; tiny is the quickest", "shop")
    .addOption(
      new Option("--site <site>", "local: libvirt and LXD on this machine (root); sim: machines that only pretend")
        .choices(["local", "sim"])
        .default("local"),
    )
    .option("--home <folder>", "where everything is kept", homeFolder())
    .option("--port <n>", "port of the control plane, 0 for any", wholeNumber, 7080)
    .option("--down", "delete the vApp and stop what was started; ledger, audit and image cache stay")
    .option("--purge", "leave nothing")
    .action(async function (this: Command) {
      await demo(this.optsWithGlobals<DemoCommandOptions>());
    });
}

async function demo(options: DemoCommandOptions): Promise<void> {
  const started = performance.now();
  const say = (line: string) => void process.stderr.write(`${((performance.now() - started) / 1_000).toFixed(1).padStart(6)} s  ${line}\n`);
  // Loaded when it runs: it brings the whole server along.
  const { demoDown, demoPurge, demoUp } = await import("#cli/local/demo.ts");
  const own: DemoOptions = {
    home: options.home,
    offering: options.offering,
    site: options.site,
    port: options.port,
    remove: removeCommand(options, "--down"),
    say,
  };
  if (options.site === "sim") say("simulated site: the control plane is real, the machines only pretend");
  const result = options.purge === true ? await demoPurge(own) : options.down === true ? await demoDown(own) : await demoUp(own);
  const text = "kept" in result ? leftText(result, removeCommand(options, "--purge")) : upText(result, lookCommand(options));
  process.stdout.write(`${options.json === true ? JSON.stringify(result, null, 2) : text}\n`);
}

/** What is printed can be typed as it is, also with a home that is not the usual one. */
function lookCommand({ home }: DemoCommandOptions): string {
  return `${home === homeFolder() ? "" : `STRATIFORM_HOME=${home} `}npm run -s strat --`;
}

function removeCommand({ home, site }: DemoCommandOptions, how: "--down" | "--purge"): string {
  const own = [...(home === homeFolder() ? [] : ["--home", home]), ...(site === "local" ? [] : ["--site", site])];
  return [`npm run demo -- ${how}`, ...own].join(" ");
}

const answerCharsMax = 200;

function shortened(text: string): string {
  return text.length <= answerCharsMax ? text : `${text.slice(0, answerCharsMax)} ...`;
}

function upText(result: DemoResult, look: string): string {
  const machines = result.machines.map(
    ({ name, kind, endpoint, address, reason }) =>
      `  ${name.padEnd(10)} ${kind.padEnd(10)} ${endpoint.padEnd(14)} ${address}\n${" ".repeat(13)}${reason}`,
  );
  return [
    "",
    `Open        ${result.url}`,
    ...result.answers.map((answer, index) => `${index === 0 ? "It answers" : "and"}`.padEnd(12) + shortened(answer.split("\n")[0] ?? "")),
    "",
    `vApp ${result.vapp}, ${rate(result.costPerHour)} ${result.currency} an hour, made by ${result.steps} steps (strat plan show ${result.plan}):`,
    ...machines,
    "",
    `Console       ${result.console.url}      (token in ${result.console.tokenFile})`,
    `Look around   ${look} vapp show ${result.vapp}`,
    `Remove        ${result.remove}      (--purge leaves nothing)`,
  ].join("\n");
}

function leftText({ kept }: DemoLeft, purge: string): string {
  if (kept.length === 0) return "Nothing is left.";
  return [
    "Kept:",
    ...kept.map(({ path, bytes }) => `  ${(bytes / 1_048_576).toFixed(1).padStart(8)} MiB  ${path}`),
    `Remove it with: ${purge}`,
  ].join("\n");
}
