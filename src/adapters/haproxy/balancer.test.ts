/** What goes over the line to HAProxy, and what is made of its answers. How it behaves is in test/endpoints/balancer-haproxy.test.ts. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { BalancerAccess, BalancerPool } from "#adapter/balancer.ts";
import { haproxyFactory } from "#adapters/haproxy/balancer.ts";
import { joinMove, leaveMove, moveCommands, type Move } from "#adapters/haproxy/move.ts";
import type { ServerStat } from "#adapters/haproxy/stat.ts";
import type { CallContext } from "#domain/context.ts";
import { isAppError } from "#domain/error.ts";
import { systemClock } from "#lib/clock.ts";
import { silentLog } from "#lib/log.ts";

const ctx: CallContext = { signal: new AbortController().signal, clock: systemClock, log: silentLog };
const pool: BalancerPool = { name: "web", port: 80, healthPath: "/health" };
const header = "# pxname,svname,qcur,scur,stot,status,check_status,addr,srv_icur,uweight\n";

/** A balancer that says the same to everything, and what was said to it. */
function saying(reply: Partial<Awaited<ReturnType<BalancerAccess["run"]>>>) {
  const lines: string[] = [];
  const access: BalancerAccess = {
    async run(_ctx, { stdin = "" }) {
      lines.push(stdin);
      return { exitCode: 0, stdout: `${header}\n`, stderr: "", ...reply };
    },
  };
  return { balancer: haproxyFactory.open(access, {}), lines };
}

async function codeOf(asked: Promise<unknown>): Promise<string> {
  try {
    await asked;
    return "done";
  } catch (error) {
    if (!isAppError(error)) throw error;
    return error.code;
  }
}

describe("the line", () => {
  it("holds nothing that is not a name, an address or a port", async () => {
    const good = /^[a-z][a-z0-9-]{0,62}$/;
    const text = fc.oneof(fc.string(), fc.constantFrom("web-0; shutdown", "web-0\nquit", "web/0", "", "Web", "web-0 ", "a".repeat(64)));
    await fc.assert(
      fc.asyncProperty(
        text.filter((name) => !good.test(name)),
        async (name) => {
          const { balancer, lines } = saying({});
          const member = { name: "web-0", address: "10.0.0.1" };
          expect(await codeOf(balancer.memberEnsure(ctx, pool, { ...member, name }))).toBe("invalid_input");
          expect(await codeOf(balancer.memberEnsure(ctx, pool, { ...member, address: name }))).toBe("invalid_input");
          expect(await codeOf(balancer.memberDrain(ctx, pool, name))).toBe("invalid_input");
          expect(await codeOf(balancer.memberRemove(ctx, pool, name))).toBe("invalid_input");
          expect(await codeOf(balancer.members(ctx, { ...pool, name }))).toBe("invalid_input");
          expect(lines).toEqual([]);
        },
      ),
    );
  });

  it.each([0, 65_536, 1.5, Number.NaN])("refuses port %d", async (port) => {
    const { balancer, lines } = saying({});
    expect(await codeOf(balancer.members(ctx, { ...pool, port }))).toBe("invalid_input");
    expect(lines).toEqual([]);
  });

  it("is one line: the admin socket reads no second one", async () => {
    const { balancer, lines } = saying({});
    await codeOf(balancer.memberEnsure(ctx, pool, { name: "web-0", address: "fd00::1" }));
    expect(lines.every((line) => line.indexOf("\n") === line.length - 1)).toBe(true);
    expect(lines[1]).toContain("add server web/web-0 [fd00::1]:80 check ");
  });
});

describe("answers", () => {
  const row = "web,web-0,0,0,4,UP,L7OK,10.0.0.1:80,0,1\n";
  it.each([
    [{ exitCode: 75 }, "endpoint_unreachable"],
    [{ exitCode: 127, stderr: "not found" }, "endpoint_refused"],
    [{ stdout: "" }, "endpoint_unreachable"],
    [{ stdout: `${header}${row}` }, "endpoint_unreachable"],
    [{ stdout: "No such proxy.\n\n" }, "endpoint_refused"],
    [{ stdout: `No such backend.\n\n${header}\n` }, "endpoint_refused"],
    [{ stdout: `Permission denied\n\n${header}${row}\n` }, "endpoint_refused"],
    [{ stdout: `${header}${row}\n` }, "done"],
    [{ stdout: `\n\nNo such server.\n\n${header}${row}\n` }, "done"],
  ])("%j", async (reply, code) => {
    expect(await codeOf(saying(reply).balancer.members(ctx, pool))).toBe(code);
  });

  it("a member that is only asked for a connection is none that was asked for the page", async () => {
    const l4 = `${header}${row.replace("L7OK", "L4OK")}\n`;
    const member = { name: "web-0", address: "10.0.0.1" };
    expect(await codeOf(saying({ stdout: l4 }).balancer.memberEnsure(ctx, pool, member))).toBe("endpoint_refused");
    expect(await codeOf(saying({ stdout: l4 }).balancer.memberEnsure(ctx, { ...pool, healthPath: null }, member))).toBe("done");
    expect(await codeOf(saying({ stdout: `${header}${row}\n` }).balancer.memberEnsure(ctx, pool, member))).toBe("done");
  });
});

describe("moves", () => {
  const server: fc.Arbitrary<ServerStat> = fc.record({
    pool: fc.constant("web"),
    name: fc.constant("web-0"),
    address: fc.constantFrom("10.0.0.1", "10.0.0.2", ""),
    port: fc.constantFrom(80, 81),
    state: fc.constantFrom("up", "starting", "down", "draining", "maintenance", "unknown"),
    inFlight: fc.nat(3),
    requestsTotal: fc.nat(),
    idle: fc.nat(3),
    weight: fc.nat(2),
    check: fc.constantFrom("L7OK", "INI", "", "L4CON"),
  });
  const target = { address: "10.0.0.1", port: 80 };

  it("never give requests to a member whose check has not passed", () => {
    fc.assert(
      fc.property(server, (row) => {
        const move = joinMove(row, target);
        if (move.kind === "weigh" || move.kind === "undrain") expect(row.check).toBe("L7OK");
        if (move.kind === "enable") expect(moveCommands(move, "web/web-0")[0]).toBe("set server web/web-0 weight 0");
      }),
    );
  });

  it("never take out a member with requests in flight, or one that may get another", () => {
    fc.assert(
      fc.property(server, (row) => {
        for (const move of [leaveMove(row), joinMove(row, target)]) {
          if (move.kind !== "takeOut") continue;
          expect(row.inFlight).toBe(0);
          expect(["draining", "maintenance", "down"]).toContain(row.state);
        }
      }),
    );
  });

  it("a wait says what for", () => {
    const waits = (move: Move) => (move.kind === "wait" ? move.reason : move.kind);
    const row: ServerStat = {
      pool: "web",
      name: "web-0",
      ...target,
      state: "draining",
      inFlight: 3,
      requestsTotal: 9,
      idle: 0,
      weight: 1,
      check: "L7OK",
    };
    expect(waits(leaveMove(row))).toBe("still has 3 requests in flight");
    expect(waits(leaveMove({ ...row, inFlight: 1 }))).toBe("still has 1 request in flight");
    expect(waits(joinMove({ ...row, state: "down", check: "L7STS" }, target))).toBe("does not pass its health check (L7STS)");
    expect(waits(joinMove({ ...row, state: "starting", weight: 0, check: "INI" }, target))).toBe("has not passed its first check yet");
  });
});
