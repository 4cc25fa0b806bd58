import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SecretBox, secretPlace } from "#app/secret-box.ts";

describe("secret box", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "stratiform-secret-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("makes its key file for the owner only and reads the same one again", () => {
    const path = join(folder, "secret.key");
    const sealed = SecretBox.fromFile(path).seal("place", "value");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(SecretBox.fromFile(path).open("place", sealed)).toBe("value");
  });

  it("the sealed bytes do not hold the value, and two seals of one value differ", () => {
    const box = SecretBox.fromFile(join(folder, "k"));
    const [one, two] = [box.seal("p", "canary-value"), box.seal("p", "canary-value")];
    expect(one.toString("latin1")).not.toContain("canary-value");
    expect(one.equals(two)).toBe(false);
  });

  it("opens only at its place, with its key, and undamaged", () => {
    const box = SecretBox.fromFile(join(folder, "k"));
    const sealed = box.seal(secretPlace("v1", "token"), "value");
    expect(() => box.open(secretPlace("v2", "token"), sealed)).toThrowError(/cannot be opened/);
    expect(() => SecretBox.fromFile(join(folder, "other")).open(secretPlace("v1", "token"), sealed)).toThrowError(/cannot be opened/);
    const damaged = Buffer.from(sealed);
    damaged[damaged.length - 1]! ^= 1;
    expect(() => box.open(secretPlace("v1", "token"), damaged)).toThrowError(/cannot be opened/);
  });

  it("refuses a key file of the wrong length instead of using it", () => {
    writeFileSync(join(folder, "short"), "x");
    expect(() => SecretBox.fromFile(join(folder, "short"))).toThrowError(/damaged/);
    expect(readFileSync(join(folder, "short"), "utf8")).toBe("x");
  });

  it("generates as many bytes as asked, in characters every guest can carry", () => {
    const box = SecretBox.fromFile(join(folder, "k"));
    expect(Buffer.from(box.generate(32), "base64url")).toHaveLength(32);
    expect(box.generate(256)).toMatch(/^[A-Za-z0-9_-]+$/);
    expect(box.generate(16)).not.toBe(box.generate(16));
  });
});
