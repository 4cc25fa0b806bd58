/** The images of the shop at real daemons, with contexts written by hand: what each promises in its README and in images/README.md. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startShop, until, type Shop, type ShopMachine } from "../support/shop-machines.ts";

let shop: Shop;
beforeAll(async () => {
  shop = await startShop();
}, 600_000);
afterAll(() => shop.stop());

describe("haproxy", () => {
  let proxy: ShopMachine;
  const balance = (members: object[], changes: object = {}) => ({
    config: {},
    balance: { pool: "web", port: 80, health: "/health", members, ...changes },
  });

  beforeAll(async () => {
    proxy = await shop.machine("proxy-0", "haproxy", ["front"]);
    await shop.ready(proxy);
  }, 600_000);

  test("nothing listens before the first context; a context without a pool is refused", async () => {
    expect(await shop.isOpen(proxy, 80)).toBe(false);
    const refused = await shop.tryApply(proxy, { config: {} });
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("balance.pool is missing")]);
    expect(await shop.isOpen(proxy, 80)).toBe(false);
  });

  test("the context starts it, and the adapter's program talks to it", async () => {
    await shop.apply(proxy, balance([{ name: "web-0", address: "10.64.1.200" }]));
    expect((await shop.http(proxy, "/")).status).toBe(503);
    const stat = await shop.run(proxy, ["/usr/lib/stratiform/haproxy-admin"], "show servers state web; show info\n");
    expect(stat.exitCode).toBe(0);
    expect(stat.stdout).toMatch(/ web-0 10\.64\.1\.200 /);
    expect(stat.stdout).toMatch(/^Version: 2\.6/m);
  });

  test("a change of members is written down and does not touch the running process", async () => {
    const pid = async () => (await shop.run(proxy, ["/usr/lib/stratiform/haproxy-admin"], "show info\n")).stdout.match(/^Pid: (\d+)/m)?.[1];
    const before = await pid();
    await shop.apply(
      proxy,
      balance([
        { name: "web-0", address: "10.64.1.200" },
        { name: "web-1", address: "10.64.1.201" },
      ]),
    );
    expect(await pid()).toBe(before);
    expect(await shop.shell(proxy, "grep -c '^  server ' /run/haproxy/haproxy.cfg")).toBe("2\n");
    // Killed, it comes back by itself with what was written.
    await shop.shell(proxy, "killall -9 haproxy");
    await until("the new process knows both members", async () => {
      const { stdout } = await shop.run(proxy, ["/usr/lib/stratiform/haproxy-admin"], "show servers state web\n");
      return stdout.includes("web-0") && stdout.includes("web-1");
    });
  });

  test("any other change is reloaded", async () => {
    await shop.apply(proxy, balance([{ name: "web-0", address: "10.64.1.200" }], { health: "/healthy" }));
    await until("one server is left", async () => {
      const { stdout } = await shop.run(proxy, ["/usr/lib/stratiform/haproxy-admin"], "show servers state web\n");
      return stdout.includes("web-0") && !stdout.includes("web-1");
    });
  });

  test("names and addresses that are none are refused and change nothing", async () => {
    const before = await shop.shell(proxy, "cat /run/haproxy/haproxy.cfg");
    const refused = await shop.tryApply(proxy, balance([{ name: "web-0", address: "10.64.1.200\n  server evil 1.2.3.4:80" }]));
    expect(refused.exitCode).not.toBe(0);
    expect(await shop.shell(proxy, "cat /run/haproxy/haproxy.cfg")).toBe(before);
  });

  test("after a restart it waits for its context again", async () => {
    const { provider, spec } = proxy;
    const ctx = { signal: AbortSignal.timeout(60_000), log: console as never, clock: { now: Date.now, sleep: async () => {} } };
    await provider.machineStop(ctx, spec, { graceMs: 5_000 });
    await provider.machineStart(ctx, spec);
    await shop.ready(proxy);
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(await shop.isOpen(proxy, 80)).toBe(false);
    await shop.apply(proxy, balance([{ name: "web-0", address: "10.64.1.200" }]));
    expect(await shop.isOpen(proxy, 80)).toBe(true);
  });

  test("logs are the newest lines of what it logs", async () => {
    const { stdout } = await shop.run(proxy, ["/usr/lib/stratiform/logs", "20"]);
    expect(stdout).toContain("apply: context of generation 1 applied");
    expect(stdout.trimEnd().split("\n").length).toBeLessThanOrEqual(20);
  });
});
