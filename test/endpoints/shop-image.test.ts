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
    await shop.restart(proxy);
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

describe("postgres-15, shop-web and haproxy together", () => {
  let databases: ShopMachine[];
  let webs: ShopMachine[];
  let proxy: ShopMachine;
  const secrets = { replication: "planted-replication", app: "planted-app" };
  /** As the offering renders it, with that machine as the primary. */
  const database = (i: number, primary: number, changes: object = {}) =>
    shop.apply(databases[i]!, {
      config: { role: i === primary ? "primary" : "standby", primary: databases[primary]!.addresses.back, ...secrets, ...changes },
      tiers: tiers(),
    });
  const tiers = () => ({
    db: databases.map(({ spec, addresses }) => ({ name: spec.hostname, addresses })),
    web: webs.map(({ spec, addresses }) => ({ name: spec.hostname, addresses })),
  });
  const status = async (i: number) =>
    JSON.parse((await shop.run(databases[i]!, ["/usr/lib/stratiform/postgres-status"])).stdout) as Record<string, unknown>;
  const page = async () => {
    const { status: code, body } = await shop.http(proxy, "/");
    return { code, ...(JSON.parse(body) as { web: string; database: { name: string; role: string }; count: number }) };
  };
  const add = async (name: string) =>
    (await shop.http(proxy, "/items", { method: "POST", body: JSON.stringify({ name, price: "1.50" }) })).status;
  const names = async () =>
    (JSON.parse((await shop.http(proxy, "/items")).body) as { rows: { name: string }[] }).rows.map(({ name }) => name);

  beforeAll(async () => {
    databases = [];
    webs = [];
    for (const name of ["db-0", "db-1"])
      databases.push(await shop.machine(name, "postgres-15", ["back"], { volumes: [{ name: "data", sizeMiB: 512 }] }));
    for (const name of ["web-0", "web-1"]) webs.push(await shop.machine(name, "shop-web", ["front", "back"]));
    proxy = await shop.machine("proxy-0", "haproxy", ["front"]);
    for (const machine of [...databases, ...webs, proxy]) await shop.ready(machine);
  }, 600_000);

  test("no database runs before its context says what it is", async () => {
    for (const machine of databases) expect(await shop.isOpen(machine, 5432)).toBe(false);
    const refused = await shop.tryApply(databases[0]!, { config: { role: "boss", ...secrets } });
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("config.role must be primary or standby")]);
  });

  test("primary and standby begin without a base backup, and the standby streams", async () => {
    await Promise.all([database(0, 0), database(1, 0)]);
    await until("the standby follows", async () => (await status(1))["following"] === databases[0]!.addresses.back);
    expect(await status(0)).toMatchObject({ running: true, role: "primary", standbys: 1 });
    await until("commits wait for the standby", async () => (await status(0))["synchronous"] === true);
    await until("the standby may be promoted", async () => (await status(1))["inStep"] === true);
    expect(await shop.shell(databases[1]!, "ls /var/lib/stratiform/volumes/data/postgresql")).not.toContain("backup.log");
  });

  test("both web servers answer rows through the proxy, as JSON and as a page for people", async () => {
    for (const web of webs) {
      await shop.apply(web, { config: { password: secrets.app, primary: databases[0]!.addresses.back }, tiers: tiers() });
    }
    const members = webs.map(({ spec, addresses }) => ({ name: spec.hostname, address: addresses.front }));
    await shop.apply(proxy, { config: {}, balance: { pool: "web", port: 80, health: "/health", members } });
    const seen = new Set<string>();
    await until("both answered", async () => {
      const answer = await page();
      expect(answer).toMatchObject({ code: 200, count: 20, database: { name: "db-0", role: "primary" } });
      return seen.add(answer.web).size === 2;
    });
    const html = await shop.http(proxy, "/", { headers: { accept: "text/html" } });
    expect(html.headers["content-type"]).toBe("text/html; charset=utf-8");
    expect(html.body).toMatch(/Served by <b>web-[01]<\/b>, rows from <b>db-0<\/b> \(primary\), 20 items/);
  });

  test("a row is on both databases when it was confirmed; markup in it stays text", async () => {
    expect(await add("<b>bold</b>")).toBe(201);
    const query = "select count(*) from item where name like '%bold%'";
    const asked = await shop.run(databases[1]!, [
      "/usr/bin/setpriv",
      "--reuid=postgres",
      "--clear-groups",
      "--regid=postgres",
      "psql",
      "-XAtc",
      query,
      "shop",
    ]);
    expect(asked.stdout).toBe("1\n");
    expect((await shop.http(proxy, "/?format=html")).body).toContain("&lt;b&gt;bold&lt;/b&gt;");
  });

  test("a new password reaches database and web servers without a restart", async () => {
    secrets.app = "planted-second";
    await Promise.all([database(0, 0), database(1, 0)]);
    for (const web of webs) await shop.apply(web, { config: { password: secrets.app }, tiers: tiers() });
    expect(await add("after the new password")).toBe(201);
  });

  test("a primary that restarted does not start by itself, and its context brings it back", async () => {
    await shop.restart(databases[0]!);
    expect(await shop.isOpen(databases[0]!, 5432)).toBe(false);
    // Rows are still shown, by the standby.
    expect(await page()).toMatchObject({ code: 200, database: { name: "db-1", role: "standby" } });
    await database(0, 0);
    await until("writes are taken", async () => (await add("after the restart")) === 201);
  });

  test("the primary is killed, the standby promoted: every confirmed row is there, and the old primary follows without ever taking a write", async () => {
    const confirmed: string[] = [];
    for (let i = 0; i < 20; i++) if ((await add(`row ${i}`)) === 201) confirmed.push(`row ${i}`);
    expect(confirmed).toHaveLength(20);
    await shop.kill(databases[0]!);
    await database(1, 1);
    for (const web of webs) {
      await shop.apply(web, { config: { password: secrets.app, primary: databases[1]!.addresses.back }, tiers: tiers() });
    }
    await until("the promoted one takes writes", async () => (await add("after the failover")) === 201, 20_000);
    expect(await names()).toEqual(expect.arrayContaining(confirmed));
    expect(await page()).toMatchObject({ database: { name: "db-1", role: "primary" } });

    await shop.start(databases[0]!);
    expect(await status(0)).toEqual({ running: false });
    await database(0, 1);
    await until("the old primary follows", async () => (await status(0))["following"] === databases[1]!.addresses.back);
    expect(await status(0)).toMatchObject({ role: "standby", synchronous: false });
    await until("commits wait for it again", async () => (await status(1))["synchronous"] === true);
    expect(await add("on both again")).toBe(201);
    expect(await names()).toEqual(expect.arrayContaining([...confirmed, "after the failover"]));
  });

  test("a running primary that is told to be a standby stops taking writes at once; two primaries are refused", async () => {
    const refused = await shop.tryApply(databases[0]!, {
      config: { role: "primary", primary: databases[0]!.addresses.back, ...secrets },
      tiers: tiers(),
    });
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringContaining("is a primary already")]);
    expect(await status(0)).toMatchObject({ role: "standby" });
    await until("the standby may be promoted", async () => (await status(0))["inStep"] === true);
    // Roles change places while both are alive: first the one that loses, as fencing does it.
    const demoted = database(1, 0).catch(() => "the new primary is not there yet");
    await until("the former primary stopped", async () => (await status(1))["running"] === false);
    await database(0, 0);
    await demoted;
    await database(1, 0);
    await until("the other one follows", async () => (await status(1))["following"] === databases[0]!.addresses.back);
    for (const web of webs) await shop.apply(web, { config: { password: secrets.app }, tiers: tiers() });
    await until("writes are taken", async () => (await add("after the change")) === 201, 20_000);
    expect(await names()).toEqual(expect.arrayContaining(["row 19", "after the failover", "on both again", "after the change"]));
  });

  test("with the standby gone a write is not confirmed, and is once the context says the primary is alone", async () => {
    await until("commits wait", async () => (await status(0))["synchronous"] === true);
    await shop.kill(databases[1]!);
    const waiting = await shop.http(proxy, "/items", { method: "POST", body: '{"name":"waits","price":1}' });
    expect([waiting.status, (JSON.parse(waiting.body) as { committed: string }).committed]).toEqual([503, "unknown"]);
    expect(await page()).toMatchObject({ code: 200 });
    await database(0, 0, { synchronous: false });
    await until("writes are taken", async () => (await add("alone")) === 201, 20_000);
  });

  test("no secret is in a log or in a file that outlives the machine's memory", async () => {
    for (const machine of [...databases.slice(0, 1), ...webs, proxy]) {
      const { stdout } = await shop.run(machine, ["/usr/lib/stratiform/logs", "5000"]);
      expect(stdout).not.toMatch(/planted-/);
      expect(await shop.shell(machine, "grep -rlsI planted- /etc /var /root /usr/lib/stratiform || true")).toBe("");
    }
  });
});
