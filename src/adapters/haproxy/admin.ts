/**
 * Talking to HAProxy: one line of commands in, their answers out, through a program in the balancer's machine that passes both to the
 * admin socket (`/usr/lib/stratiform/haproxy-admin`, exit code 75 when HAProxy does not run). Every name and address is checked here,
 * because a command line is text: what is not a name must never get into one.
 */
import { isIP } from "node:net";
import type { BalancerAccess, BalancerMember, BalancerPool } from "#adapter/balancer.ts";
import { parseStat, statHeader, canonicalAddress, type ServerStat } from "#adapters/haproxy/stat.ts";
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";

const adminProgram = "/usr/lib/stratiform/haproxy-admin";
/** EX_TEMPFAIL: there is nobody at the socket. */
const notRunningCode = 75;
const callTimeoutMs = 5_000;
const serversOnly = 4;

/**
 * Answers that are no failure of ours. Each says that somebody else was faster, or that it is to be tried again; the state that is read
 * afterwards decides.
 */
const expectedAnswers: readonly RegExp[] = [
  /^New server registered\.$/,
  /^Already exists a server with the same name in backend\.$/,
  /^Server deleted\.$/,
  /^No such server\.$/,
  /^Only servers in maintenance mode can be deleted\.$/,
  /^Server still has connections attached to it, cannot remove it\.$/,
];

/** Carries out commands one after the other and answers what the pool looks like after the last of them; null: there is no such pool. */
export async function adminAsk(
  access: BalancerAccess,
  ctx: CallContext,
  pool: BalancerPool,
  commands: readonly string[] = [],
): Promise<ServerStat[] | null> {
  ctx.signal.throwIfAborted();
  const name = poolName(pool);
  const line = [...commands, `show stat ${name} ${serversOnly} -1`].join("; ");
  const reply = await access.run(ctx, { argv: [adminProgram], stdin: `${line}\n`, timeoutMs: callTimeoutMs });
  const internal = `exit ${reply.exitCode}: ${reply.stderr.slice(-500)}`;
  if (reply.exitCode === notRunningCode) throw new AppError("endpoint_unreachable", "the balancer does not run", { internal });
  if (reply.exitCode !== 0) throw new AppError("endpoint_refused", "the balancer cannot be asked", { internal });
  const header = reply.stdout.search(new RegExp(`^${statHeader}`, "m"));
  const answers = header < 0 ? reply.stdout : reply.stdout.slice(0, header);
  for (const answer of answers.split("\n").map((text) => text.trim())) {
    if (answer === "" || expectedAnswers.some((expected) => expected.test(answer))) continue;
    if (/^No such (backend|proxy)\.$/.test(answer)) return null;
    throw new AppError("endpoint_refused", "the balancer refused a change of its members", { internal: answer.slice(0, 500) });
  }
  return parseStat(header < 0 ? "" : reply.stdout.slice(header)).filter((row) => row.pool === name);
}

export function noPool({ name }: BalancerPool): AppError {
  const detail = [
    {
      constraint: `a member joins a pool the balancer's configuration declares, and "${name}" is not one`,
      source: "the balancer's configuration file",
      nearest: "apply the balancer's context, which writes that file",
    },
  ];
  return new AppError("endpoint_refused", `the balancer has no pool ${name}`, { detail });
}

export function poolName(pool: BalancerPool): string {
  if (!/^[a-z][a-z0-9]{0,15}$/.test(pool.name)) throw new AppError("invalid_input", "that is no name of a pool");
  if (!Number.isInteger(pool.port) || pool.port < 1 || pool.port > 65_535) throw new AppError("invalid_input", "that is no port");
  return pool.name;
}

export function memberName(name: string): string {
  if (!/^[a-z][a-z0-9-]{0,62}$/.test(name)) throw new AppError("invalid_input", "that is no name of a member");
  return name;
}

/** As the balancer spells it. */
export function memberAddress(member: BalancerMember): string {
  // A zone is part of a valid address, but not of one another machine could use.
  if (isIP(member.address) === 0 || member.address.includes("%")) throw new AppError("invalid_input", "that is no address of a member");
  return canonicalAddress(member.address);
}
