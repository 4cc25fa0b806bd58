import { describe, expect, it } from "vitest";
import { addressOf, joinSecrets, splitSecrets } from "#domain/endpoint.ts";

describe("addressOf", () => {
  it.each([
    ["/run/libvirt/libvirt-sock", { type: "unix", path: "/run/libvirt/libvirt-sock" }],
    ["qemu+unix:///srv/their-sock-ro", { type: "unix", path: "/srv/their-sock-ro" }],
    ["qemu+unix:///system?socket=/srv/sock", { type: "unix", path: "/srv/sock" }],
    ["qemu:///system", { type: "unix", path: "/run/libvirt/libvirt-sock" }],
    ["qemu+tls://rack2/system", { type: "tcp", host: "rack2", port: 16_514, isTls: true }],
    ["qemu+tls://[fd00::7]:16515/system", { type: "tcp", host: "fd00::7", port: 16_515, isTls: true }],
    ["qemu+tcp://rack2.example.org/system", { type: "tcp", host: "rack2.example.org", port: 16_509, isTls: false }],
    ["https://10.0.0.4", { type: "tcp", host: "10.0.0.4", port: 8_443, isTls: true }],
    ["https://boxes:9443/", { type: "tcp", host: "boxes", port: 9_443, isTls: true }],
  ])("%s", (text, address) => {
    expect(addressOf(text)).toEqual(address);
  });

  it.each(["", "rack2", "esx://rack2", "https://", "https://a b", "https://boxes:99999", "qemu+unix://system"])("refuses %j", (text) => {
    expect(() => addressOf(text)).toThrow("is no address of an endpoint");
  });
});

describe("splitSecrets", () => {
  const key = "-----BEGIN EC PRIVATE KEY-----\nsecret\n-----END EC PRIVATE KEY-----\n";

  it("takes out what is secret by name or by what it is, and joins it again", () => {
    const config = { url: "https://x", key: "plain", tls: { cert: "c", odd: key }, password: "p", port: 1, pool: { name: "n" } };
    const { open, secrets } = splitSecrets(config);
    expect(open).toEqual({ url: "https://x", tls: { cert: "c" }, port: 1, pool: { name: "n" } });
    expect(secrets.map(({ path }) => path.join("/")).toSorted()).toEqual(["key", "password", "tls/odd"]);
    expect(joinSecrets(open, secrets)).toEqual(config);
  });

  it("leaves a configuration without secrets as it is", () => {
    const config = { socket: "/x", list: ["a"], nothing: null };
    expect(splitSecrets(config)).toEqual({ open: config, secrets: [] });
  });

  it("refuses a private key where it could not be told from the rest, and what is too deep or too long", () => {
    expect(() => splitSecrets({ keys: [key] })).toThrow("member of its own");
    expect(() => splitSecrets(key)).toThrow("member of its own");
    const deep = JSON.parse(`${'{"a":'.repeat(10)}1${"}".repeat(10)}`) as never;
    expect(() => splitSecrets(deep)).toThrow("at most 8 levels");
    expect(() => splitSecrets({ key: "x".repeat(70_000) })).toThrow("65536 characters");
  });
});
