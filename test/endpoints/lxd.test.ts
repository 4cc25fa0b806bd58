/** The LXD provider at a real LXD in a site of its own. */
import { dirname } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exec } from "#lib/exec.ts";
import { providerConformance } from "#provider/conformance.ts";
import { callContext } from "#provider/conformance/subject.ts";
import type { ChannelCommand, ImageSource, MachineSpec, Provider } from "#provider/contract.ts";
import { lxdFactory } from "#providers/lxd/provider.ts";
import { freshRef, lxdMachine, lxdSubject, tinyEdgeImage } from "../support/lxd-subject.ts";
import { startTestSite, type TestSite } from "../support/site.ts";

let site: TestSite;
let attachment: string;
let image: ImageSource;

beforeAll(async () => {
  image = await tinyEdgeImage();
  site = await startTestSite();
  attachment = (await site.segment({ prefix: "10.64.1.0/24", gateway: "10.64.1.1" })).attachment;
});
afterAll(() => site.stop());

providerConformance(lxdSubject(() => ({ site, attachment, image })));

describe("a running container", () => {
  const token = "planted-token-4711";
  /** A fresh limit for each call: one for all of them would end with the time that the tests before took. */
  const limited = () => callContext();
  let provider: Provider;
  let upstream: MachineSpec;
  let edge: MachineSpec;
  const run = (spec: MachineSpec, ...argv: string[]) => provider.channelRun(limited(), spec, { argv });
  const shell = async (spec: MachineSpec, script: string) => (await run(spec, "/bin/sh", "-c", script)).stdout;

  beforeAll(async () => {
    provider = lxdFactory.open(site.lxdConfig);
    await provider.imageEnsure(limited(), image);
    upstream = lxdMachine(image, attachment, { ...freshRef("upstream"), hostname: "node-0" });
    const hosts = [{ address: upstream.nics[0]!.address, names: ["node-0", "node"] }];
    edge = lxdMachine(image, attachment, { ...freshRef("edge"), hosts });
    for (const spec of [upstream, edge]) {
      await provider.machineEnsure(limited(), spec);
      await provider.machineStart(limited(), spec);
    }
  });
  afterAll(async () => {
    for (const spec of [upstream, edge]) await provider.machineRemove(limited(), spec);
    await provider.imageRemove(limited(), image);
    await provider.close();
  });

  test("has its name, address, route and neighbours from the first moment that it is configured", async () => {
    const context = { generation: 1, self: { name: "edge-0", addresses: {} }, config: { token, upstream: "node" } };
    const applied = await provider.channelRun(limited(), edge, { argv: ["/usr/lib/stratiform/apply"], stdin: JSON.stringify(context) });
    expect(applied).toEqual({ exitCode: 0, stdout: "", stderr: "", truncated: false });
    const [nic] = edge.nics;
    expect(await shell(edge, "hostname; ip -o -4 addr show eth0; ip route")).toMatch(
      new RegExp(`^edge-0\\n.* ${nic?.address}/24 .*\\ndefault via 10.64.1.1 dev eth0`),
    );
    expect(await shell(edge, "cat /etc/hosts")).toBe(`127.0.0.1 localhost\n${upstream.nics[0]?.address} node-0 node\n`);
  });

  test("is not privileged on the host", async () => {
    expect(await shell(edge, "cat /proc/self/uid_map")).not.toMatch(/^\s*0\s+0\s/);
  });

  test("wraps the page of its upstream, asked by name and with the token; 502 without it", async () => {
    const fetchPage = () => run(edge, "/bin/wget", "-S", "-q", "-O", "-", "http://127.0.0.1/");
    await shell(upstream, "until [ -e /run/stratiform.booted ]; do usleep 50000; done");
    const page = '#!/bin/sh\nprintf "Status: 200 OK\\r\\n\\r\\nthe token is %s\\n" "$HTTP_X_TOKEN"\n';
    const script = "cat > /srv/www/cgi-bin/index.cgi";
    await provider.channelRun(limited(), upstream, { argv: ["/bin/sh", "-c", script], stdin: page });
    expect((await fetchPage()).stdout).toBe(`edge-0 says: the token is ${token}\n`);
    await provider.machineStop(limited(), upstream, { graceMs: 0 });
    expect((await fetchPage()).stderr).toContain("502 Bad Gateway");
  });

  test("what goes to standard input is nowhere in the daemon's files", async () => {
    const logs = await exec("grep", ["-rlF", "--binary-files=text", token, `${dirname(site.lxdConfig.socket)}/logs`], { okCodes: [0, 1] });
    const database = await exec("grep", ["-rlF", "--binary-files=text", token, `${dirname(site.lxdConfig.socket)}/database`], {
      okCodes: [0, 1],
    });
    expect([logs.stdout, database.stdout]).toEqual(["", ""]);
  });

  test("gets and loses a NIC while it runs", async () => {
    const links = () => shell(edge, "ls /sys/class/net");
    const second = { ...edge.nics[0]!, name: "eth1", mac: "02:00:00:00:02:01", address: "10.64.1.250" };
    const two = await provider.machineEnsure(limited(), { ...edge, nics: [...edge.nics, second] });
    expect(two.nics.map(({ mac }) => mac)).toEqual([edge.nics[0]?.mac, second.mac]);
    expect(two.power).toBe("running");
    expect(await links()).toBe("eth0\neth1\nlo\n");
    await provider.machineEnsure(limited(), edge);
    expect(await links()).toBe("eth0\nlo\n");
  });

  test("output beyond 1 MiB is cut, and the command is not blocked by it", async () => {
    const command: ChannelCommand = { argv: ["/bin/sh", "-c", "yes 0123456789abcde | head -c 3000000; echo end >&2"] };
    const { exitCode, stdout, stderr, truncated } = await provider.channelRun(limited(), edge, command);
    expect([exitCode, stdout.length, stderr, truncated]).toEqual([0, 1024 * 1024, "end\n", true]);
  });

  test("a command that does not read its input ends with its own exit code", async () => {
    const command: ChannelCommand = { argv: ["/bin/false"], stdin: "x".repeat(1_000_000) };
    expect((await provider.channelRun(limited(), edge, command)).exitCode).toBe(1);
  });

  test("commands that end at once have all their results, however many run side by side", async () => {
    for (let round = 0; round < 30; round++) {
      const results = await Promise.all(["a", "b", "c", "d"].map((word) => run(edge, "/bin/echo", word)));
      expect(results.map(({ stdout }) => stdout)).toEqual(["a\n", "b\n", "c\n", "d\n"]);
    }
  });

  test("a program that is missing is guest_failed", async () => {
    await expect(run(edge, "/no/such/program")).rejects.toMatchObject({ code: "guest_failed" });
  });

  test("the console is a terminal, and is free again after it was closed", async () => {
    for (const word of ["first", "second"]) {
      const terminal = await provider.consoleOpen(limited(), edge);
      let seen = "";
      terminal.on("data", (chunk: Buffer) => (seen += chunk.toString()));
      // Enter activates the shell; what is typed before it runs is lost, so ask until it answers.
      await expect
        .poll(
          () => {
            terminal.write(`\necho ${word}-$((40 + 2))\n`);
            return seen;
          },
          { timeout: 20_000, interval: 300 },
        )
        .toContain(`${word}-42`);
      terminal.destroy();
    }
  });
});

describe("refusals", () => {
  /** A fresh limit for each call: one for all of them would end with the time that the tests before took. */
  const limited = () => callContext();
  let provider: Provider;
  beforeAll(() => {
    provider = lxdFactory.open(site.lxdConfig);
  });
  afterAll(() => provider.close());

  test("a machine whose image is not there is not_found, and leaves nothing", async () => {
    const spec = lxdMachine({ ...image, digest: "0".repeat(64) }, attachment, freshRef("noimage"));
    await expect(provider.machineEnsure(limited(), spec)).rejects.toMatchObject({ code: "not_found" });
    expect(await provider.machineObserve(limited(), spec)).toBeNull();
  });

  test("a file that is not what its digest says is refused", async () => {
    const source = { ...image, name: "strat-0000000000000000", digest: "0".repeat(64) };
    await expect(provider.imageEnsure(limited(), source)).rejects.toMatchObject({ code: "endpoint_refused" });
    expect((await provider.imageList(limited())).filter(({ name }) => name === source.name)).toEqual([]);
  });

  test("a machine on a segment that is not there does not start", async () => {
    await provider.imageEnsure(limited(), image);
    const spec = lxdMachine(image, "nosuchbridge", freshRef("nobridge"));
    try {
      await provider.machineEnsure(limited(), spec);
      await expect(provider.machineStart(limited(), spec)).rejects.toMatchObject({ code: "endpoint_refused" });
      expect((await provider.machineObserve(limited(), spec))?.power).toBe("stopped");
    } finally {
      await provider.machineRemove(limited(), spec);
      await provider.imageRemove(limited(), image);
    }
  });

  test("a configuration with a wrong member is invalid_input", () => {
    expect(() => lxdFactory.open({ socket: "/x", pools: "typo" })).toThrow(expect.objectContaining({ code: "invalid_input" }));
  });
});
