import { describe, expect, it } from "vitest";
import { libvirtConfigSchema } from "#providers/libvirt/config.ts";

const pool = { name: "stratiform", path: "/pool" };
const pem = (kind: string) => `-----BEGIN ${kind}-----\nAA==\n-----END ${kind}-----\n`;

describe("libvirtConfigSchema", () => {
  it.each([
    [{ socket: "/run/their-sock" }, "/run/their-sock", false],
    [{ socket: "/run/libvirt-sock-ro" }, "/run/libvirt-sock-ro", true],
    [{ uri: "qemu:///system" }, "/run/libvirt/libvirt-sock", false],
    [{ uri: "qemu+unix:///system" }, "/run/libvirt/libvirt-sock", false],
    [{ uri: "qemu+unix:///system?socket=/srv/sock" }, "/srv/sock", false],
    [{ uri: "qemu+unix:///srv/libvirt-sock-ro" }, "/srv/libvirt-sock-ro", true],
    [{ socket: "/run/sock", readOnly: true }, "/run/sock", true],
  ])("finds the socket of %j", (config, path, readOnly) => {
    expect(libvirtConfigSchema.parse({ ...config, pool })).toMatchObject({
      transport: { type: "unix", path },
      driver: "qemu:///system",
      readOnly,
    });
  });

  it("needs no pool where nothing is changed, and one elsewhere", () => {
    expect(libvirtConfigSchema.parse({ socket: "/run/libvirt-sock-ro" }).pool).toBeNull();
    expect(() => libvirtConfigSchema.parse({ socket: "/run/libvirt-sock" })).toThrow("needs a pool for their disks");
  });

  it("goes without TLS only when somebody says so", () => {
    const config = { uri: "qemu+tcp://rack2/system", pool };
    expect(() => libvirtConfigSchema.parse(config)).toThrow("without TLS");
    expect(libvirtConfigSchema.parse({ ...config, insecure: true }).transport).toEqual({ type: "tcp", host: "rack2", port: 16_509 });
  });

  it.each([
    [{ uri: "qemu+tls://rack2/system" }, "TLS needs the authority's certificate"],
    [{ uri: "qemu+tls://rack2/session" }, "is not where a libvirtd is"],
    [{ uri: "qemu+ssh://rack2/system" }, "is no way to a libvirtd"],
    [{ uri: "qemu+unix://rack2/system" }, "a socket is on this machine"],
    [
      { uri: "qemu+tls://rack2/system", ca: pem("CERTIFICATE"), cert: pem("CERTIFICATE"), key: pem("PRIVATE KEY") },
      "certificates and key must be readable",
    ],
  ])("refuses %j", (config, words) => {
    expect(() => libvirtConfigSchema.parse({ ...config, pool })).toThrow(words);
  });
});
