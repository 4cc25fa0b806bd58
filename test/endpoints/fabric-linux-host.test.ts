/** The linux fabric on a site made of the host's own daemons: the same suite, and the refusal of a mix. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { fabricConformance } from "#fabric/conformance.ts";
import { linuxFabricCapabilities, linuxFabricFactory } from "#fabrics/linux/fabric.ts";
import { exec } from "#lib/exec.ts";
import { startHostSite } from "../support/host-site.ts";
import type { HostSite } from "../support/host-site.ts";
import { attachProbeHost, namespaceHost } from "../support/probe-host.ts";
import { siteCall, startTestSite } from "../support/site.ts";
import type { TestSite } from "../support/site.ts";

/** Only its daemons are used. */
let lender: TestSite;
let site: HostSite;

beforeAll(async () => {
  lender = await startTestSite();
}, 120_000);
afterAll(() => lender.stop());

test("with only one of the host's daemons there is no site, and the other is named", async () => {
  const half = await startHostSite(lender, ["libvirt"]);
  const refused = await siteCall(half.socket, "PUT", "", { daemons: "host" });
  expect(refused.error?.code).toBe("capability_missing");
  expect(refused.error?.message).toContain("/var/lib/lxd/unix.socket");
  expect(refused.error?.message).not.toContain("libvirt-sock");
  await half.stop();
});

fabricConformance({
  name: "linux on the host's daemons",
  capabilities: linuxFabricCapabilities,
  async start() {
    site = await startHostSite(lender, ["libvirt", "lxd"]);
    const up = await siteCall(site.socket, "PUT", "", { daemons: "host" });
    expect(up.site).toMatchObject({ state: "up", daemons: "host", namespace: null, hostAddress: null });
    expect(up.site?.endpoints?.lxd.pool).toBe("stratiform");
  },
  async stop() {
    await siteCall(site.socket, "DELETE");
    // The host's own things are left as they were: no bridge, no table.
    const nothing = await exec("nsenter", [
      `--net=/run/netns/${site.namespace}`,
      "sh",
      "-c",
      "nft list ruleset; ip -br link show type bridge",
    ]);
    expect(nothing.stdout).toBe("");
    await site.stop();
  },
  open: async () => linuxFabricFactory.open({ socket: site.socket }),
  attachHost: (segment, address) => attachProbeHost(site.namespace, segment, address),
  outside: async () => namespaceHost(site.outside, site.outsideAddress),
  restart: () => site.restart(),
});
