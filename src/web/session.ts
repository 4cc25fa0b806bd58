/** Who is signed in: a token, kept for this tab only. Components follow it with `useSession`. */
import { useSyncExternalStore } from "react";
import type { Problem } from "#sdk/client.ts";

export interface Session {
  readonly token: string | null;
  /** Why the server ended the last session, for the page that asks for a token again. */
  readonly ended: Problem | null;
}

const storageKey = "stratiform.token";
const listeners = new Set<() => void>();
let session: Session = { token: sessionStorage.getItem(storageKey), ended: null };

export function currentSession(): Session {
  return session;
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, currentSession);
}

export function sessionBegin(token: string): void {
  sessionStorage.setItem(storageKey, token);
  change({ token, ended: null });
}

export function sessionEnd(ended: Problem | null = null): void {
  sessionStorage.removeItem(storageKey);
  change({ token: null, ended });
}

function change(next: Session): void {
  session = next;
  for (const listener of listeners) listener();
}

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
