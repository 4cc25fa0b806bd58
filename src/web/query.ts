/**
 * What the pages ask the server. Every answer is a query by key; the event stream (`live.ts`) says when one is out of date, and a slow
 * poll brings what has no event, such as the time a fact was last seen.
 */
import { QueryCache, QueryClient, queryOptions } from "@tanstack/react-query";
import { ask, makeClient, ProblemError, type Schemas, type StratiformClient } from "#sdk/client.ts";
import { currentSession, sessionEnd } from "./session.ts";

export type Vapp = Schemas["Vapp"];
export type VappSummary = Schemas["VappSummary"];
export type Machine = Schemas["Machine"];
export type Run = Schemas["Run"];
export type RunStep = Run["steps"][number];
export type Order = Schemas["Order"];
export type LayerView = Schemas["VappLayers"]["layers"][number];
export type LayerItem = LayerView["items"][number];
export type Fact = Machine["facts"][number];

/** Facts are looked at every five seconds by the server. */
const factsPollMs = 5_000;
const listPollMs = 15_000;
/** A step that begins has no event of its own. */
const runPollMs = 1_000;
const pageLength = 500;
/** More is not shown, and said so. */
const pagesShown = 4;
const ordersShown = 10;

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError(error) {
      if (error instanceof ProblemError && error.problem.code === "unauthenticated") sessionEnd(error.problem);
    },
  }),
  defaultOptions: {
    queries: {
      // A problem that will be the same next time is shown at once.
      retry: (failures, error) => failures < 2 && !(error instanceof ProblemError && !error.problem.retryable),
      // What is on the screen stays there while it is asked for again.
      staleTime: 1_000,
    },
  },
});

export function clientOf(token: string): StratiformClient {
  return makeClient({ url: location.origin, token });
}

function client(): StratiformClient {
  return clientOf(currentSession().token ?? "");
}

/** Asks for as little as there is: whether the server takes this token. */
export async function tokenCheck(token: string): Promise<void> {
  await ask(clientOf(token).GET("/v1/vapps", { params: { query: { limit: 1 } } }));
}

export interface Listed<T> {
  readonly items: readonly T[];
  /** There are more than are shown. */
  readonly isCut: boolean;
}

async function allOf<T>(page: (after: string | undefined) => Promise<{ items: T[]; next: string | null }>): Promise<Listed<T>> {
  const items: T[] = [];
  let after: string | undefined;
  for (let pages = 0; pages < pagesShown; pages++) {
    const answer = await page(after);
    items.push(...answer.items);
    if (answer.next === null) return { items, isCut: false };
    after = answer.next;
  }
  return { items, isCut: true };
}

export const vappsQuery = queryOptions({
  queryKey: ["vapps"],
  queryFn: ({ signal }) =>
    allOf((after) =>
      ask(client().GET("/v1/vapps", { params: { query: { limit: pageLength, ...(after !== undefined && { after }) } }, signal })),
    ),
  refetchInterval: listPollMs,
});

export const machinesQuery = queryOptions({
  queryKey: ["machines"],
  queryFn: ({ signal }) =>
    allOf((after) =>
      ask(client().GET("/v1/machines", { params: { query: { limit: pageLength, ...(after !== undefined && { after }) } }, signal })),
    ),
  refetchInterval: listPollMs,
});

export const vappQuery = (vapp: string) =>
  queryOptions({
    queryKey: ["vapp", vapp],
    queryFn: ({ signal }) => ask(client().GET("/v1/vapps/{vapp}", { params: { path: { vapp } }, signal })),
    refetchInterval: factsPollMs,
  });

export const layersQuery = (vapp: string) =>
  queryOptions({
    queryKey: ["layers", vapp],
    queryFn: ({ signal }) => ask(client().GET("/v1/vapps/{vapp}/layers", { params: { path: { vapp } }, signal })),
    refetchInterval: factsPollMs,
  });

export const runQuery = (run: string) =>
  queryOptions({
    queryKey: ["run", run],
    queryFn: ({ signal }) => ask(client().GET("/v1/runs/{run}", { params: { path: { run } }, signal })),
    refetchInterval: ({ state }) => (state.data?.finishedAt == null ? runPollMs : false),
  });

export const ordersQuery = (vapp: string) =>
  queryOptions({
    queryKey: ["orders", vapp],
    queryFn: async ({ signal }) => {
      const { items } = await ask(client().GET("/v1/orders", { params: { query: { vapp, limit: ordersShown } }, signal }));
      return items;
    },
    refetchInterval: listPollMs,
  });

/** The version a vApp was made of; it never changes. */
export const offeringQuery = (offering: string) =>
  queryOptions({
    queryKey: ["offering", offering],
    queryFn: ({ signal }) => ask(client().GET("/v1/offerings/{offering}", { params: { path: { offering } }, signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });
