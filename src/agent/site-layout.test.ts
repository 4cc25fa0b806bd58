import fc from "fast-check";
import { expect, test } from "vitest";
import { siteLayout, uplinkOf } from "#agent/site-layout.ts";
import { prefixContains } from "#agent/segments.ts";

test("every interface name fits the kernel's 15 bytes, every socket path its 107", () => {
  const layout = siteLayout(`/${"h".repeat(69)}`, "a-site-with-quite-a-long-name");
  expect(layout.uplinkInterface.length).toBeLessThanOrEqual(15);
  for (const path of [layout.lxdSocket, layout.libvirtSocket, layout.relaySocket]) expect(path.length).toBeLessThanOrEqual(107);
});

test("names and homes that would not work are refused", () => {
  for (const [home, name] of [
    ["/srv/a", "Upper"],
    ["/srv/a", "-x"],
    [`/${"h".repeat(90)}`, "a"],
    ["/run/a", "a"],
    ["/srv/a b", "a"],
  ] as const) {
    expect(() => siteLayout(home, name), `${home} ${name}`).toThrow(expect.objectContaining({ code: "invalid_input" }));
  }
});

test("every uplink is a /30 of its own inside 10.99.0.0/16", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 40_000 }), (index) => {
      const uplink = uplinkOf(index);
      expect(prefixContains("10.99.0.0/16", uplink.hostAddress)).toBe(true);
      expect(prefixContains(uplink.prefix, uplink.hostAddress)).toBe(true);
      expect(prefixContains(uplink.prefix, uplink.siteAddress)).toBe(true);
      expect(prefixContains(uplinkOf(index + 1).prefix, uplink.siteAddress)).toBe(false);
    }),
  );
});

test("two sites have different names for everything on the host", () => {
  const [a, b] = [siteLayout("/srv/a", "a"), siteLayout("/srv/a", "b")];
  expect(a.namespace).not.toBe(b.namespace);
  expect(a.uplinkInterface).not.toBe(b.uplinkInterface);
  expect(a.hostUuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
});
