/**
 * `strat vapp ssh`: the system's ssh, with a key that is made for this one session and let in for a minute, the machine's own key as the
 * control plane learned it through the endpoint, and `strat vapp tunnel` as the way there. Nothing of the user's own ssh set-up is used or
 * changed, and nothing is left behind.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { ask } from "#sdk/client.ts";
import { withSession } from "#cli/command.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import type { Session } from "#cli/session.ts";

/** Enough to connect; the session itself outlives it. */
const keySeconds = 60;
const connectSeconds = 20;

export function registerSsh(vapp: Command): void {
  vapp
    .command("ssh <vapp> <machine> [command...]")
    .description("ssh into a machine with a key made for this once; -- before a command with options of its own")
    .action(withSession((session: Session, name: string, machine: string, command: string[]) => connect(session, name, machine, command)));
}

async function connect(session: Session, vapp: string, machine: string, command: readonly string[]): Promise<void> {
  // mkdtemp makes it for us alone (0700); ssh-keygen makes the key 0600.
  const folder = mkdtempSync(join(tmpdir(), "strat-ssh-"));
  const clean = () => rmSync(folder, { recursive: true, force: true });
  process.once("exit", clean);
  try {
    const key = join(folder, "key");
    const made = await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "strat", "-f", key], {}, "ignore");
    if (made !== 0) throw new CliError(exitCodes.failed, "ssh-keygen made no key");
    const params = { path: { vapp, machine } };
    const body = { publicKey: readFileSync(`${key}.pub`, "utf8").trim(), seconds: keySeconds };
    const entry = await ask(session.client.POST("/v1/vapps/{vapp}/machines/{machine}/ssh-keys", { params, body }));
    const alias = `${machine}.${vapp}`;
    const hosts = join(folder, "known_hosts");
    writeFileSync(hosts, `${alias} ${entry.hostKey}\n`, { mode: 0o600 });
    const options = sshOptions({ key, hosts, alias, proxy: proxyCommand(vapp, machine, entry.port) });
    // The token goes by the environment, where only this user sees it; ssh sends none of it on.
    const env = { STRATIFORM_URL: session.url, STRATIFORM_TOKEN: session.token };
    process.exitCode = await run(
      "ssh",
      [...options, `${entry.user}@${alias}`, ...(command.length === 0 ? [] : ["--", ...command])],
      env,
      "inherit",
    );
  } finally {
    clean();
    process.off("exit", clean);
  }
}

function sshOptions({ key, hosts, alias, proxy }: { key: string; hosts: string; alias: string; proxy: string }): string[] {
  const options = {
    IdentityFile: key,
    IdentitiesOnly: "yes",
    IdentityAgent: "none",
    PreferredAuthentications: "publickey",
    UserKnownHostsFile: hosts,
    GlobalKnownHostsFile: "/dev/null",
    StrictHostKeyChecking: "yes",
    HostKeyAlias: alias,
    UpdateHostKeys: "no",
    ConnectTimeout: String(connectSeconds),
    ServerAliveInterval: "30",
    LogLevel: "ERROR",
    ProxyCommand: proxy,
  };
  return ["-F", "none", ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`])];
}

/** This program once more. ssh gives it to a shell, with `exec` before it, and reads percent signs itself. */
function proxyCommand(vapp: string, machine: string, port: number): string {
  const program = [process.execPath, ...process.execArgv, process.argv[1] ?? "strat", "vapp", "tunnel", vapp, machine, String(port)];
  return program
    .map((word) => `'${word.replaceAll("'", `'\\''`)}'`)
    .join(" ")
    .replaceAll("%", "%%");
}

/** Its exit code; as a shell says it when a signal ended it. */
function run(program: string, args: readonly string[], env: Record<string, string>, stdio: "inherit" | "ignore"): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio });
    // Ctrl-C is for the program in front; what we owe is to clean up after it. Other signals are passed on.
    const forward = (signal: NodeJS.Signals) => void (signal === "SIGINT" || child.kill(signal));
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const signal of signals) process.on(signal, forward);
    const done = () => {
      for (const signal of signals) process.off(signal, forward);
    };
    child.once("error", (error: NodeJS.ErrnoException) => {
      done();
      reject(error.code === "ENOENT" ? noSuchProgram(program) : error);
    });
    child.once("close", (code, signal) => {
      done();
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

function noSuchProgram(program: string): CliError {
  return new CliError(
    exitCodes.failed,
    `${program} is not installed here\n  install it:     apt install openssh-client (Debian, Ubuntu)\n  or without it:  strat vapp console, strat vapp exec`,
  );
}
