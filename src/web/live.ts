/**
 * Events as they happen. One stream for the whole console; an event does not carry the new state, it says which answers are out of date.
 * Many at once (a run settles steps by the dozen) ask for each answer only once.
 */
import { useEffect, useSyncExternalStore } from "react";
import { followEvents } from "#sdk/events.ts";
import { ProblemError } from "#sdk/client.ts";
import { queryClient } from "./query.ts";
import { sessionEnd } from "./session.ts";

export type LiveState = "connecting" | "live" | "lost";

/** Events this close together are answered together. */
const gatherMs = 150;

let state: LiveState = "connecting";
const listeners = new Set<() => void>();

export function useLiveState(): LiveState {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}

function enter(next: LiveState): void {
  if (next === state) return;
  // What happened while nobody listened was announced to nobody.
  if (next === "live" && state === "lost") void queryClient.invalidateQueries();
  // Asked now, so that the page says at once that what it shows may be old.
  if (next === "lost" && state === "live") void askAgain();
  state = next;
  for (const listener of listeners) listener();
}

/** Follows as long as the component is there and the token is taken. */
export function useLiveUpdates(token: string): void {
  useEffect(() => {
    const ended = new AbortController();
    void follow(token, ended.signal);
    return () => ended.abort();
  }, [token]);
}

async function follow(token: string, signal: AbortSignal): Promise<void> {
  enter("connecting");
  try {
    const events = followEvents({
      url: location.origin,
      token,
      after: "latest",
      signal,
      // A console is left open over night: it goes on asking.
      patienceMs: Number.POSITIVE_INFINITY,
      onContact: (isThere) => enter(isThere ? "live" : "lost"),
    });
    for await (const _event of events) void askAgain();
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof ProblemError && error.problem.code === "unauthenticated") sessionEnd(error.problem);
    else enter("lost");
  }
}

/** Answers that events are about; an offering is published once and stays as it is. */
const changing = new Set(["vapps", "machines", "vapp", "run", "orders", "layers"]);
let isOutdated = false;
let isAsking = false;

/** One round after the other: a round cancels what is being asked, so rounds that overtake each other would never end under load. */
async function askAgain(): Promise<void> {
  isOutdated = true;
  if (isAsking) return;
  isAsking = true;
  while (isOutdated) {
    await new Promise((resolve) => setTimeout(resolve, gatherMs));
    isOutdated = false;
    await queryClient.invalidateQueries({ predicate: ({ queryKey }) => changing.has(String(queryKey[0])) });
  }
  isAsking = false;
}
