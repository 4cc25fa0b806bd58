/** Who gets in, what they are told when not, and that every refusal is a problem document. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startApi } from "#api/server.ts";
import { errorCodes } from "#domain/error.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";
import type { Schemas } from "#sdk/client.ts";
import { deployment, startTestControlPlane, type RawAnswer, type TestControlPlane } from "../support/control-plane.ts";

let plane: TestControlPlane;
beforeAll(async () => (plane = await startTestControlPlane()));
afterAll(() => plane.close());

function problem(answer: RawAnswer): Schemas["Problem"] {
  expect(answer.headers.get("content-type")).toContain("application/problem+json");
  const body = answer.json<Schemas["Problem"]>();
  expect(body).toMatchObject({
    status: answer.status,
    requestId: answer.headers.get("x-request-id"),
    type: `urn:stratiform:problem:${body.code}`,
  });
  expect(body.title).toBe(errorCodes[body.code].title);
  return body;
}

describe("without a valid token", () => {
  test("every registered route but /healthz answers 401, and so does a route that is not there", async () => {
    // The same server once more, for its list of routes: what is registered is what is walked.
    const api = await startApi({ platform: plane.platform, host: "127.0.0.1", port: 0, log: silentLog, clock: systemClock });
    await api.close();
    const document = (await plane.request("GET", "/v1/openapi.json")).json<{ paths: Record<string, Record<string, unknown>> }>();
    const described = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const registered = api.routes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
    expect(registered.filter((route) => !["GET /healthz", "GET /v1/openapi.json"].includes(route)).toSorted()).toEqual(
      described.toSorted(),
    );

    const walk = [
      ...api.routes,
      { method: "GET", path: "/v1/nothing-here" },
      { method: "GET", path: "/v1/vapps/%zz" },
      { method: "DELETE", path: "/v1/orders" },
    ];
    const tokens = [null, "wrong", "strat_" + "A".repeat(43), plane.token.slice(0, -1), `${plane.token}A`];
    for (const { method, path } of walk) {
      for (const token of tokens) {
        const answer = await plane.request(method, path.replaceAll(/:\w+/g, "x"), { token });
        const said = `${method} ${path} with ${token ?? "no token"}`;
        if (path === "/healthz") expect(answer.status, said).toBe(200);
        else {
          expect(answer.status, said).toBe(401);
          expect(problem(answer).code, said).toBe("unauthenticated");
          expect(answer.headers.get("www-authenticate")).toBe("Bearer");
        }
      }
    }
  });

  test("a revoked and an expired token are as good as none", async () => {
    const token = await plane.principal("leaver", "admin");
    expect((await plane.request("GET", "/v1/vapps", { token })).status).toBe(200);
    await plane.sql(
      "update token set expires_at = now() - interval '1 second' from principal p where p.id = principal_id and p.name = 'leaver'",
    );
    expect((await plane.request("GET", "/v1/vapps", { token })).status).toBe(401);
    await plane.sql(
      "update token set expires_at = null, revoked_at = now() from principal p where p.id = principal_id and p.name = 'leaver'",
    );
    expect((await plane.request("GET", "/v1/vapps", { token })).status).toBe(401);
  });
});

describe("policy", () => {
  test("a member may plan and read, but not write the catalogue or read the audit; each refusal is audited", async () => {
    const token = await plane.principal("member", "member");
    expect((await plane.request("POST", "/v1/plans", { token, body: deployment("of-member") })).status).toBe(201);
    expect((await plane.request("GET", "/v1/images", { token })).status).toBe(200);
    const refusals = [
      await plane.request("PUT", "/v1/images/x", {
        token,
        body: { recipeHash: "x", variants: [{ format: "sim", digest: "x", sizeBytes: 1, path: null }] },
      }),
      await plane.request("DELETE", "/v1/images/tiny-node", { token }),
      await plane.request("PUT", "/v1/sites/x", { token, body: { fabric: { kind: "sim", config: {} } } }),
      await plane.request("GET", "/v1/audit", { token }),
    ];
    const actions = ["image.write", "image.delete", "site.write", "audit.read"];
    for (const [i, answer] of refusals.entries()) {
      expect(answer.status).toBe(403);
      expect(problem(answer)).toMatchObject({ code: "forbidden", refusals: [{ source: "no policy permits it" }] });
      const rows = await plane.sql("select action, decision from audit where request_id = $1", [answer.headers.get("x-request-id")]);
      expect(rows).toEqual([{ action: actions[i], decision: "forbid" }]);
    }
    expect((await plane.request("GET", "/v1/images/tiny-node")).status).toBe(200);
  });

  test("who has no role is refused even what members may", async () => {
    const token = await plane.principal("nobody", null);
    for (const path of ["/v1/vapps", "/v1/orders", "/v1/events", "/v1/bill", "/v1/audit"]) {
      expect((await plane.request("GET", path, { token })).status, path).toBe(403);
    }
    expect((await plane.request("POST", "/v1/orders", { token, body: deployment("of-nobody") })).status).toBe(403);
    expect(await plane.sql("select 1 from vapp where name = 'of-nobody'")).toEqual([]);
  });
});

describe("problem documents", () => {
  const post = (body: unknown, headers: Record<string, string> = {}) => plane.request("POST", "/v1/orders", { body, headers });

  test("an unknown field is refused by its name, in bodies, in parts of them, and in queries", async () => {
    const bounds = problem(await post({ action: "deploy", bounds: { maxCost: "1" } }));
    expect(bounds.refusals).toEqual([{ constraint: `bounds has no field "maxCost"`, source: "body, bounds", nearest: `remove "maxCost"` }]);
    const query = problem(await plane.request("GET", "/v1/vapps?projekt=x"));
    expect(query.refusals).toEqual([{ constraint: `the document has no field "projekt"`, source: "query", nearest: `remove "projekt"` }]);
    const empty = problem(await plane.request("GET", "/v1/sites?x=1"));
    expect(empty.code).toBe("invalid_input");
  });

  test("what is no JSON, too large, or of another kind is said so", async () => {
    expect(problem(await post("{"))).toMatchObject({ status: 400, code: "invalid_input" });
    expect(problem(await post(""))).toMatchObject({ status: 400, code: "invalid_input" });
    expect(problem(await post({ action: "x".repeat(1_100_000) }))).toMatchObject({ status: 413, code: "invalid_input" });
    expect(problem(await post("action=deploy", { "content-type": "application/x-www-form-urlencoded" }))).toMatchObject({ status: 415 });
    expect(problem(await post('{"action":"deploy","__proto__":{"x":1}}'))).toMatchObject({ status: 400 });
  });

  test.each([
    ["GET", "/v1/nothing", 404],
    ["GET", "/v1/orders/ord_x", 400],
    ["GET", "/v1/orders/ord_01a20963-938f-7aad-b72f-1bb98d8971c0", 404],
    ["GET", "/v1/vapps/none", 404],
    ["GET", "/v1/sites/none", 404],
    ["GET", "/v1/vapps?limit=501", 400],
    ["GET", "/v1/events?after=-1", 400],
    ["GET", "/v1/bill?from=yesterday", 400],
    ["GET", "/v1/vapps/%zz", 400],
    ["PUT", "/v1/images/Not%20A%20Name", 400],
  ])("%s %s: %i", async (method, path, status) => {
    const body =
      method === "PUT" ? { body: { recipeHash: "x", variants: [{ format: "sim", digest: "x", sizeBytes: 1, path: null }] } } : {};
    const answer = await plane.request(method, path, body);
    expect(answer.status).toBe(status);
    expect(problem(answer).refusals.length).toBeGreaterThan(0);
  });

  test("an idempotency key that is none is refused", async () => {
    expect(problem(await post(deployment("x"), { "idempotency-key": "k".repeat(256) })).refusals[0]!.source).toBe("Idempotency-Key header");
  });
});

describe("conditional changes", () => {
  const fabric = () => ({ kind: "sim", config: { socket: `${plane.home}/sim.sock` } });
  // The same again is no change, so every write says something else.
  const kinds = [
    { path: "/v1/sites/conditional", body: (n: number) => ({ location: `place ${n}`, fabric: fabric() }) },
    {
      path: "/v1/endpoints/conditional",
      body: (n: number) => ({ site: "sim", provider: "sim", config: { ...fabric().config, endpoint: `conditional-${n}` } }),
    },
  ];

  test.each(kinds)("$path: If-Match and If-None-Match let exactly the expected change through", async ({ path, body }) => {
    const put = (n: number, headers: Record<string, string>) => plane.request("PUT", path, { headers, body: body(n) });
    expect((await put(1, { "if-match": '"1"' })).status).toBe(412);
    expect((await plane.request("GET", path)).status).toBe(404);
    const made = await put(1, { "if-none-match": "*" });
    expect([made.status, made.headers.get("etag")]).toEqual([200, '"1"']);
    expect((await put(1, { "if-none-match": "*" })).status).toBe(412);
    expect((await put(1, { "if-match": '"1"' })).headers.get("etag")).toBe('"1"');
    const answers = await Promise.all([2, 3, 4].map((n) => put(n, { "if-match": '"1"' })));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 412, 412]);
    expect((await plane.request("GET", path)).headers.get("etag")).toBe('"2"');
    expect(problem(await put(5, { "if-match": "2" })).refusals[0]!.source).toBe("If-Match header");
    expect((await put(5, {})).headers.get("etag")).toBe('"3"');
  });
});

describe("around requests", () => {
  test("health is told without a token", async () => {
    const answer = await plane.request("GET", "/healthz", { token: null });
    expect([answer.status, answer.json()]).toEqual([200, { status: "ok" }]);
  });

  test("every request gets a row with its route, not its path", async () => {
    const answer = await plane.request("GET", "/v1/vapps/some-name-of-a-tenant");
    const id = answer.headers.get("x-request-id");
    await expect
      .poll(() => plane.sql("select method, route, status from request_log where id = $1", [id]))
      .toEqual([{ method: "GET", route: "/v1/vapps/:vapp", status: 404 }]);
  });

  test("who guesses tokens is slowed down; who has one is not", async () => {
    const statuses = new Set<number>();
    for (let round = 0; round < 30 && !statuses.has(429); round++) {
      const guesses = await Promise.all(Array.from({ length: 50 }, () => plane.request("GET", "/v1/vapps", { token: "guess" })));
      for (const { status } of guesses) statuses.add(status);
    }
    expect(statuses).toEqual(new Set([401, 429]));
    expect((await plane.request("GET", "/v1/vapps")).status).toBe(200);
  });
});
