/** The images of the shop at real daemons, with contexts written by hand: what each promises in its README and in images/README.md. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
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

describe("shop-web without a database", () => {
  let web: ShopMachine;
  const json = (text: string) => JSON.parse(text) as Record<string, unknown>;
  const servers = { db: ["db-0", "db-1"].map((name, i) => ({ name, addresses: { back: `10.64.2.20${i}` } })) };

  beforeAll(async () => {
    web = await shop.machine("web-0", "shop-web", ["front", "back"]);
    await shop.ready(web);
  }, 600_000);

  test("is not healthy before its first context, healthy after it whatever the database does", async () => {
    expect(await shop.isOpen(web, 80)).toBe(false);
    const refused = await shop.tryApply(web, { config: {}, tiers: servers });
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("config.password is missing")]);
    await shop.apply(web, { config: { password: "planted-password" }, tiers: servers });
    expect((await shop.http(web, "/health")).status).toBe(200);
  });

  test("the server that should be the primary is asked first; a change of the list restarts nothing", async () => {
    const file = () => shop.shell(web, "cat /run/shop-web/config.json");
    const pid = () => shop.shell(web, "pidof -x python3");
    const before = await pid();
    expect(json(await file())["servers"]).toEqual(["db-0", "db-1"]);
    await shop.apply(web, { config: { password: "planted-password", primary: "10.64.2.201" }, tiers: servers });
    expect(json(await file())["servers"]).toEqual(["db-1", "db-0"]);
    expect(await pid()).toBe(before);
  });

  test("without a database it says so within its limit, and never shows the password", async () => {
    const page = await shop.http(web, "/");
    expect([page.status, json(page.body)]).toEqual([503, { web: "web-0", error: "the database does not answer" }]);
    const write = await shop.http(web, "/items", { method: "POST", body: '{"name":"a","price":"1.50"}' });
    expect([write.status, json(write.body)["committed"]]).toEqual([503, "no"]);
    const { stdout } = await shop.run(web, ["/usr/lib/stratiform/logs", "100"]);
    expect(stdout).toContain("no database");
    expect(stdout).not.toContain("planted-password");
  });

  test.each([
    ["{", 400],
    ['{"name":""}', 400],
    ['{"name":"a","price":"1.505"}', 400],
    ['{"name":"a","price":true}', 400],
    ["[]", 400],
    [`{"name":"${"x".repeat(20_000)}","price":"1"}`, 413],
  ])("refuses %s", async (body, status) => {
    expect((await shop.http(web, "/items", { method: "POST", body })).status).toBe(status);
  });

  test("unknown pages are 404; HEAD has no body", async () => {
    expect((await shop.http(web, "/nothing")).status).toBe(404);
    expect((await shop.http(web, "/health", { method: "HEAD" })).body).toBe("");
  });

  test("a NIC that lost its address gets it back with the next context", async () => {
    await shop.shell(web, "ip addr flush dev eth1");
    expect(await shop.shell(web, "ip -o -4 addr show dev eth1")).toBe("");
    await shop.apply(web, { config: { password: "planted-password" }, tiers: servers });
    expect(await shop.shell(web, "ip -o -4 addr show dev eth1")).toContain(`${web.addresses.back}/24`);
  });
});

describe("ssh", () => {
  test("a key lets in for as long as it was authorised; the host is known by what authorize printed", async () => {
    const web = await shop.machine("ssh-0", "haproxy", ["front"]);
    await shop.ready(web);
    await until("it booted", () => shop.isOpen(web, 22));
    const folder = await mkdtemp(join(tmpdir(), "stratiform-ssh-"));
    try {
      await exec("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "key")]);
      const key = await readFile(join(folder, "key.pub"), "utf8");
      const ssh = async (known: string) => {
        await writeFile(join(folder, "known"), `${web.addresses.front} ${known}\n`);
        const options = [`UserKnownHostsFile=${folder}/known`, "StrictHostKeyChecking=yes", "BatchMode=yes", "ConnectTimeout=5"];
        const args = [...options.flatMap((option) => ["-o", option]), "-i", join(folder, "key"), `root@${web.addresses.front}`, "hostname"];
        return await exec("nsenter", shop.site.inside("ssh", ...args), { okCodes: [0, 255] });
      };
      const refused = await shop.run(web, ["/usr/lib/stratiform/authorize", "60"], "not a key\n");
      expect(refused.exitCode).not.toBe(0);
      expect((await shop.run(web, ["/usr/lib/stratiform/authorize", "100000"], key)).exitCode).toBe(64);
      const { stdout: host, exitCode } = await shop.run(web, ["/usr/lib/stratiform/authorize", "4"], key);
      expect([exitCode, host]).toEqual([0, expect.stringMatching(/^ssh-ed25519 [A-Za-z0-9+/=]+ /)]);
      expect((await ssh(host.trim())).stdout).toBe("ssh-0\n");
      await until("the key is gone", async () => (await shop.shell(web, "cat /root/.ssh/authorized_keys")) === "");
      expect((await ssh(host.trim())).code).toBe(255);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
