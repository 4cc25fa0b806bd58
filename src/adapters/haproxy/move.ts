/**
 * What to do next with a member, from what the balancer says of it: pure. Repeating "look, decide, do" from any state ends in `done` or in
 * a `wait` that only time ends.
 *
 * Joining. HAProxy calls a server UP as soon as it is enabled, and sends requests to it, before the first check has passed. So a server
 * that is new, or comes back from maintenance, is enabled with weight 0, and gets its weight when its check has passed.
 *
 * Leaving. Drained servers get no new requests, also not those of clients that stay connected. When nothing is in flight, maintenance
 * closes the idle connections kept for reuse; only then can the server be deleted. Those of a server that was in maintenance before its
 * last request ended are not closed, so every removal enters maintenance anew, from drained.
 */
import { checkPassed, type ServerStat } from "#adapters/haproxy/stat.ts";

export type Move =
  | { readonly kind: "done" }
  | { readonly kind: "wait"; readonly reason: string }
  | { readonly kind: "add"; readonly address: string; readonly port: number }
  /** Let it be checked, without requests. */
  | { readonly kind: "enable" }
  | { readonly kind: "weigh" }
  | { readonly kind: "undrain" }
  | { readonly kind: "drain" }
  | { readonly kind: "takeOut" };

/** A check every half second, ten times as often while the answer is in doubt; one success is enough, two failures take it out. */
const checkSettings = "check inter 500ms fastinter 100ms downinter 500ms rise 1 fall 2";

export function joinMove(row: ServerStat | undefined, target: { readonly address: string; readonly port: number }): Move {
  if (row === undefined) return { kind: "add", ...target };
  if (row.address !== target.address || row.port !== target.port) return leaveMove(row);
  switch (row.state) {
    case "up":
      return { kind: "done" };
    case "maintenance":
      return { kind: "enable" };
    case "draining":
      return checkPassed(row.check) ? { kind: "undrain" } : { kind: "enable" };
    case "starting":
      return row.weight === 0 && checkPassed(row.check)
        ? { kind: "weigh" }
        : { kind: "wait", reason: "has not passed its first check yet" };
    case "down":
      return { kind: "wait", reason: `does not pass its health check (${row.check})` };
    case "unknown":
      return { kind: "wait", reason: "is in a state that is not known" };
  }
}

export function leaveMove(row: ServerStat | undefined): Move {
  if (row === undefined) return { kind: "done" };
  if (row.state !== "draining" && row.state !== "maintenance" && row.state !== "down") return { kind: "drain" };
  if (row.inFlight === 0) return { kind: "takeOut" };
  const requests = row.inFlight === 1 ? "1 request" : `${row.inFlight} requests`;
  return { kind: "wait", reason: `still has ${requests} in flight` };
}

export function moveCommands(move: Exclude<Move, { kind: "done" | "wait" }>, path: string): string[] {
  switch (move.kind) {
    case "add": {
      const host = move.address.includes(":") ? `[${move.address}]` : move.address;
      // Enabled in one go: one question less until it takes requests.
      return [`add server ${path} ${host}:${move.port} ${checkSettings}`, ...enable(path)];
    }
    case "enable":
      return enable(path);
    case "weigh":
      return [`set server ${path} weight 100%`];
    case "undrain":
      return [`set server ${path} state ready`];
    case "drain":
      return [`set server ${path} state drain`];
    case "takeOut":
      return [`set server ${path} state drain`, `set server ${path} state maint`, `del server ${path}`];
  }
}

function enable(path: string): string[] {
  return [`set server ${path} weight 0`, `enable health ${path}`, `set server ${path} state ready`];
}
