import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { emptyBalance, exchange, quotaDimensions, quotaDrift, recompute, release, reserve } from "#domain/quota.ts";
import type { QuotaAmounts, QuotaBalance, Reservation } from "#domain/quota.ts";

const quota = { machines: 4, vcpus: 6, memoryMiB: 2048, segments: 2, exposures: 1 };
const source = "quota of project shop";

function granted(reservation: Reservation): QuotaBalance {
  if (!reservation.ok) throw new Error(`refused: ${reservation.refusals[0]!.constraint}`);
  return reservation.balance;
}

describe("reserve and release", () => {
  test("a reservation is all or nothing and names every dimension that is short", () => {
    const balance = granted(reserve(emptyBalance(quota), { machines: 3, vcpus: 6 }, source));
    expect(reserve(balance, { machines: 2, vcpus: 1, segments: 1 }, source)).toEqual({
      ok: false,
      refusals: [
        {
          constraint: "2 machines are needed and 1 are free: 3 of 4 are reserved",
          source: "quota of project shop, machines",
          nearest: "ask for at most 1 machines, or raise the quota to 5",
        },
        {
          constraint: "1 vcpus are needed and 0 are free: 6 of 6 are reserved",
          source: "quota of project shop, vcpus",
          nearest: "release 1 vcpus, or raise the quota to 7",
        },
      ],
    });
    expect(balance.reserved).toEqual({ machines: 3, vcpus: 6, memoryMiB: 0, segments: 0, exposures: 0 });
  });

  test("a quota lowered below what is reserved refuses more and takes nothing away", () => {
    const balance = { ...granted(reserve(emptyBalance(quota), { machines: 4 }, source)), quota: { ...quota, machines: 1 } };
    expect(reserve(balance, { machines: 1 }, source).ok).toBe(false);
    expect(reserve(balance, { segments: 1 }, source).ok).toBe(true);
    expect(release(balance, { machines: 4 }).reserved.machines).toBe(0);
  });

  test("releasing more than is reserved, and amounts that are none, are errors", () => {
    const balance = granted(reserve(emptyBalance(quota), { machines: 1 }, source));
    expect(() => release(balance, { machines: 2 })).toThrow(/release of 2 machines with 1 reserved/);
    for (const amount of [-1, 0.5, Number.NaN]) expect(() => reserve(balance, { vcpus: amount }, source)).toThrow(/whole number/);
  });

  test("an exchange needs room for the difference only", () => {
    const full = granted(reserve(emptyBalance(quota), { machines: 4, vcpus: 4 }, source));
    expect(granted(exchange(full, { machines: 4, vcpus: 4 }, { machines: 4, vcpus: 6 }, source)).reserved).toMatchObject({
      machines: 4,
      vcpus: 6,
    });
    expect(granted(exchange(full, { machines: 2 }, { machines: 1, segments: 2 }, source)).reserved).toMatchObject({
      machines: 3,
      segments: 2,
    });
    expect(exchange(full, { machines: 2 }, { machines: 1, segments: 3 }, source).ok).toBe(false);
  });
});

const amounts: fc.Arbitrary<QuotaAmounts> = fc.record(
  { machines: fc.nat(3), vcpus: fc.nat(4), memoryMiB: fc.nat(1024), segments: fc.nat(1), exposures: fc.nat(1) },
  { requiredKeys: [] },
);
const action = fc.oneof(
  fc.record({ do: fc.constant("reserve" as const), amounts }),
  fc.record({ do: fc.constant("release" as const), pick: fc.nat() }),
  fc.record({ do: fc.constant("exchange" as const), pick: fc.nat(), amounts }),
);

test("property: under any interleaving the balance is the sum of what lives, never negative, never above the quota", () => {
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      let balance = emptyBalance(quota);
      const live: QuotaAmounts[] = [];
      for (const one of actions) {
        if (one.do === "reserve") {
          const reservation = reserve(balance, one.amounts, source);
          if (reservation.ok) {
            balance = reservation.balance;
            live.push(one.amounts);
          } else {
            const fits = quotaDimensions.every(
              (dimension) => (one.amounts[dimension] ?? 0) <= quota[dimension] - balance.reserved[dimension],
            );
            expect(fits).toBe(false);
          }
        } else if (live.length > 0) {
          const index = one.pick % live.length;
          if (one.do === "release") balance = release(balance, live.splice(index, 1)[0]!);
          else {
            const exchanged = exchange(balance, live[index]!, one.amounts, source);
            if (exchanged.ok) {
              balance = exchanged.balance;
              live[index] = one.amounts;
            }
          }
        }
        expect(quotaDrift(balance, recompute(quota, live))).toEqual([]);
        for (const dimension of quotaDimensions) {
          expect(balance.reserved[dimension]).toBeGreaterThanOrEqual(0);
          expect(balance.reserved[dimension]).toBeLessThanOrEqual(quota[dimension]);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("drift names the dimension and both figures", () => {
  const stored = granted(reserve(emptyBalance(quota), { machines: 2, vcpus: 2 }, source));
  expect(quotaDrift(stored, recompute(quota, [{ machines: 1, vcpus: 2 }]))).toEqual([{ dimension: "machines", stored: 2, truth: 1 }]);
});
