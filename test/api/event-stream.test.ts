/** The event stream: whoever reconnects with the position he has misses nothing and gets nothing twice. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ask, type Schemas } from "#sdk/client.ts";
import { type Event, followEvents } from "#sdk/events.ts";
import { startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

type EventPage = Schemas["EventList"];

let plane: TestControlPlane;
beforeAll(async () => (plane = await startTestControlPlane()));
afterAll(() => plane.close());

/** Reads a stream by hand until it is cut off after `enough` events, wherever in the text that is. */
async function readAndCut(after: number, enough: number): Promise<{ positions: number[]; last: number }> {
  const cut = new AbortController();
  const response = await fetch(`${plane.url}/v1/events`, {
    headers: { authorization: `Bearer ${plane.token}`, accept: "text/event-stream", "last-event-id": String(after) },
    signal: cut.signal,
  });
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  const positions: number[] = [];
  let text = "";
  let last = after;
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    const blocks = (text + chunk).split("\n\n");
    text = blocks.pop()!;
    for (const block of blocks) {
      const id = /^id: (\d+)$/m.exec(block)?.[1];
      if (id !== undefined) last = Number(id);
      if (block.includes("\ndata: ")) positions.push(Number(id));
      if (positions.length === enough) {
        cut.abort();
        return { positions, last };
      }
    }
  }
  throw new Error("the stream ended by itself");
}

const stored = async () =>
  (await plane.sql<{ position: number }>("select position from event order by position")).map(({ position }) => position);

test("connections cut again and again while orders run: every event once, in order", async () => {
  const orders = Promise.all(["one", "two", "three"].map((name) => plane.deploy(name)));
  const seen: number[] = [];
  let cursor = 0;
  for (const enough of [1, 3, 2, 5, 1, 4]) {
    const { positions, last } = await readAndCut(cursor, enough);
    seen.push(...positions);
    cursor = last;
  }
  await orders;
  await expect.poll(() => plane.sql("select 1 from event where position is null")).toEqual([]);
  const all = await stored();
  const rest = all.length - seen.length;
  if (rest > 0) seen.push(...(await readAndCut(cursor, rest)).positions);
  expect(seen).toEqual(all);
  expect(new Set(seen).size).toBe(seen.length);
});

test("the SDK follows across a cut, and a vApp's events are its own, in the order of their seq", async () => {
  const stop = new AbortController();
  const order = await plane.deploy("followed");
  const events: Event[] = [];
  const following = (async () => {
    for await (const event of followEvents({ url: plane.url, token: plane.token, vapp: order.vapp, signal: stop.signal }))
      events.push(event);
  })();
  await plane.waitFor(await ask(plane.client.POST("/v1/orders", { body: { action: "purge", vapp: "followed" } })));
  const mine = () =>
    plane.sql<{ seq: number }>("select seq from event where vapp_id = $1 and position is not null order by seq", [
      order.vapp.replace("vapp_", ""),
    ]);
  await expect.poll(async () => events.length > 3 && events.length === (await mine()).length, { timeout: 10_000 }).toBe(true);
  stop.abort();
  await following;
  expect(events.map(({ seq }) => seq)).toEqual((await mine()).map(({ seq }) => seq));
  expect(new Set(events.map(({ vapp }) => vapp))).toEqual(new Set([order.vapp]));
});

test("JSON pages give the same events, and their cursor goes on where the stream would", async () => {
  const positions: number[] = [];
  let after = "0";
  for (;;) {
    const page: EventPage = (await plane.request("GET", `/v1/events?after=${after}&limit=3`)).json();
    if (page.items.length === 0) break;
    positions.push(...page.items.map(({ position }) => position));
    after = page.next;
  }
  expect(positions).toEqual(await stored());
  const latest = (await plane.request("GET", "/v1/events?after=latest")).json<EventPage>();
  expect(latest).toEqual({ items: [], next: String(positions.at(-1)) });
});

test("a reader whom policy refuses gets an answer, not a stream", async () => {
  const token = await plane.principal("deaf", null);
  const answer = await plane.request("GET", "/v1/events", { token, headers: { accept: "text/event-stream" } });
  expect([answer.status, answer.headers.get("content-type")]).toEqual([403, expect.stringContaining("problem+json")]);
  const broken = await plane.request("GET", "/v1/events", { headers: { accept: "text/event-stream", "last-event-id": "x" } });
  expect(broken.status).toBe(400);
});

test("streams of one principal are limited, and leaving makes room", async () => {
  const open = new AbortController();
  const headers = { authorization: `Bearer ${await plane.principal("listener", "member")}`, accept: "text/event-stream" };
  const connect = (signal: AbortSignal) => fetch(`${plane.url}/v1/events?after=latest`, { headers, signal });
  const streams = await Promise.all(Array.from({ length: 32 }, () => connect(open.signal)));
  expect(new Set(streams.map(({ status }) => status))).toEqual(new Set([200]));
  expect((await connect(AbortSignal.timeout(5_000))).status).toBe(429);
  open.abort();
  const next = new AbortController();
  await expect.poll(async () => (await connect(next.signal)).status).toBe(200);
  next.abort();
});
