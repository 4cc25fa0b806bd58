import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  addressNth,
  allocateAddress,
  allocatePrefix,
  formatPrefix,
  macOf,
  parseAddress,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
  prefixSize,
} from "#domain/cidr.ts";
import { isAppError } from "#domain/error.ts";

const addressText = (number: number) => [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join(".");
const prefixIn = (minLength: number, maxLength: number) =>
  fc.tuple(fc.nat(0xffffffff), fc.integer({ min: minLength, max: maxLength })).map(([address, length]) => {
    const size = 2 ** (32 - length);
    return `${addressText(Math.floor(address / size) * size)}/${length}`;
  });

describe("text", () => {
  test.each(["10.0.0.0", "10.0.0.0/33", "10.0.0/8", "256.0.0.0/8", "10.0.0.00/8", "10.0.0.0/08", "a/8", ""])("%s is no prefix", (text) => {
    expect(() => parsePrefix(text)).toThrow(/no IPv4 prefix/);
  });

  test("host bits are refused with the prefix that was meant", () => {
    try {
      parsePrefix("10.64.3.7/24");
      expect.unreachable();
    } catch (error) {
      expect(isAppError(error, "invalid_input") && error.detail[0]!.nearest).toBe("use 10.64.3.0/24");
    }
  });

  test("property: parse and format are inverse, also at the ends of the range", () => {
    for (const text of ["0.0.0.0/0", "255.255.255.255/32", "128.0.0.0/1"]) expect(formatPrefix(parsePrefix(text))).toBe(text);
    fc.assert(fc.property(prefixIn(0, 32), (text) => formatPrefix(parsePrefix(text)) === text));
    fc.assert(fc.property(fc.nat(0xffffffff), (number) => parseAddress(addressText(number)) === number));
  });
});

test("containment and overlap", () => {
  expect(prefixContains("10.64.3.0/24", "10.64.3.255")).toBe(true);
  expect(prefixContains("10.64.3.0/24", "10.64.4.0")).toBe(false);
  expect(prefixesOverlap("10.64.0.0/16", "10.64.3.0/24")).toBe(true);
  expect(prefixesOverlap("10.64.2.0/24", "10.64.3.0/24")).toBe(false);
  expect(addressNth("10.64.3.0/24", 1)).toBe("10.64.3.1");
  expect(() => addressNth("10.64.3.0/24", 256)).toThrow(/address number 256/);
  fc.assert(
    fc.property(prefixIn(0, 32), prefixIn(0, 32), (a, b) => {
      const [small, large] = prefixSize(a) <= prefixSize(b) ? [a, b] : [b, a];
      expect(prefixesOverlap(a, b)).toBe(prefixContains(large, small.split("/")[0]!));
    }),
  );
});

describe("allocation of prefixes", () => {
  test("takes the lowest free one, aligned, around what is taken in any length", () => {
    expect(allocatePrefix("10.64.0.0/16", 24, [])).toBe("10.64.0.0/24");
    expect(allocatePrefix("10.64.0.0/16", 24, ["10.64.1.0/24", "10.64.0.0/24"])).toBe("10.64.2.0/24");
    expect(allocatePrefix("10.64.0.0/16", 24, ["10.64.0.128/25", "10.64.2.0/23"])).toBe("10.64.1.0/24");
    expect(allocatePrefix("10.64.0.0/16", 24, ["10.64.0.0/22", "10.64.1.0/24", "192.168.0.0/24", "9.0.0.0/8"])).toBe("10.64.4.0/24");
    expect(allocatePrefix("255.255.255.0/24", 25, ["255.255.255.0/25"])).toBe("255.255.255.128/25");
  });

  test("refuses when the pool is used up or too small", () => {
    expect(() => allocatePrefix("10.64.0.0/23", 24, ["10.64.0.0/24", "10.64.1.0/24"])).toThrow(/no free \/24/);
    expect(() => allocatePrefix("10.64.0.0/24", 24, ["10.0.0.0/8"])).toThrow(/no free \/24/);
    expect(() => allocatePrefix("10.64.0.0/24", 23, [])).toThrow(/cannot be taken/);
  });

  test("property: results lie in the pool, never overlap, and the pool is used completely", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(fc.integer({ min: 24, max: 28 }), { maxLength: 40 }), (bits, lengths) => {
        const pool = `10.64.0.0/${24 - bits}`;
        const taken: string[] = [];
        for (const length of lengths) {
          let prefix: string;
          try {
            prefix = allocatePrefix(pool, length, [...taken].reverse());
          } catch (error) {
            expect(isAppError(error, "quota_exceeded")).toBe(true);
            // Refused means refused: no aligned place of this length is free.
            for (let n = 0; n < prefixSize(pool); n += 2 ** (32 - length)) {
              expect(taken.some((other) => prefixesOverlap(other, `${addressNth(pool, n)}/${length}`))).toBe(true);
            }
            continue;
          }
          expect(prefixContains(pool, prefix.split("/")[0]!)).toBe(true);
          expect(taken.some((other) => prefixesOverlap(other, prefix))).toBe(false);
          taken.push(prefix);
        }
      }),
    );
  });
});

test("property: addresses are the lowest free host addresses, each once, until the prefix is used up", () => {
  fc.assert(
    fc.property(prefixIn(26, 32), (prefix) => {
      const size = prefixSize(prefix);
      const taken: string[] = [];
      for (;;) {
        try {
          taken.push(allocateAddress(prefix, taken));
        } catch (error) {
          expect(isAppError(error, "quota_exceeded")).toBe(true);
          break;
        }
      }
      expect(taken).toHaveLength(size <= 2 ? size : size - 2);
      expect(new Set(taken).size).toBe(taken.length);
      for (const address of taken) expect(prefixContains(prefix, address)).toBe(true);
      if (size > 2) expect(taken).not.toContain(addressNth(prefix, 0));
      if (size > 2) expect(taken).not.toContain(addressNth(prefix, size - 1));
    }),
    { numRuns: 30 },
  );
  expect(allocateAddress("10.64.3.0/24", ["10.64.3.1", "10.64.3.3"])).toBe("10.64.3.2");
});

test("a MAC address is locally administered, unicast, stable, and differs between machines", () => {
  expect(macOf("seg/machine")).toBe(macOf("seg/machine"));
  const macs = Array.from({ length: 2000 }, (_, n) =>
    macOf(`0192f0c1-7e2a-7000-8000-0000000000aa/0192f0c1-7e2a-7000-8000-${n.toString(16).padStart(12, "0")}`),
  );
  expect(new Set(macs).size).toBe(2000);
  for (const mac of macs) expect(mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
});
