import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAppError } from "#domain/error.ts";
import { defaultRateCard, parseRateCard, rateCardSchema } from "#domain/rate-card.ts";
import type { RateCard } from "#domain/rate-card.ts";
import { costPerHour, exactTotal, rate, statementTotal } from "#domain/rating.ts";
import type { LedgerEntry, LedgerSize } from "#domain/rating.ts";

const hour = 3_600_000;
const nano: LedgerSize = { type: "machine", kind: "vm", vcpus: 1, memoryMiB: 128, storageMiB: 512 };
const tiny: LedgerSize = { type: "machine", kind: "container", vcpus: 2, memoryMiB: 256, storageMiB: 0 };

/** Prices that change at `at`, the second ones a third of a cent dearer. */
function changingCard(at: number): RateCard {
  const [first] = defaultRateCard.rates;
  const dearer = { ...first!.prices, "vcpu.hour": { vm: "0.011333", container: "0.007" }, "storage.gib.hour": "0.000333333333" };
  return rateCardSchema.parse({
    ...defaultRateCard,
    rates: [
      { ...first!, to: at },
      { from: at, to: null, prices: dearer },
    ],
  });
}

function entry(seq: number, effectiveAt: number, state: LedgerEntry["state"], size = nano, resource = "m"): LedgerEntry {
  return { resource, seq, effectiveAt, size, state };
}

describe("by hand", () => {
  test("ten hours of a nano VM", () => {
    const lines = rate({ entries: [entry(1, 0, "running")], card: defaultRateCard, from: 0, to: 10 * hour });
    expect(lines.map((line) => [line.meter, line.quantity, line.unitPrice, line.amount])).toEqual([
      ["machine.hour", "1", "0.001", "0.0100000000"],
      ["memory.gib.hour", "0.125", "0.004", "0.0050000000"],
      ["vcpu.hour", "1", "0.008", "0.0800000000"],
      ["storage.gib.hour", "0.5", "0.0001", "0.0005000000"],
    ]);
    expect(statementTotal(lines, 4)).toBe("0.0955");
    expect(costPerHour([nano], defaultRateCard, 0)).toBe("0.00955");
    expect(costPerHour([nano, { type: "exposure" }], defaultRateCard, 0)).toBe("0.01155");
  });

  test("a stopped machine pays storage only, a released one nothing", () => {
    const entries = [entry(1, 0, "running"), entry(2, 4 * hour, "stopped"), entry(3, 6 * hour, "released")];
    const lines = rate({ entries, card: defaultRateCard, from: 0, to: 100 * hour });
    const hoursOf = (meter: string) =>
      lines.filter((line) => line.meter === meter).reduce((sum, line) => sum + line.to - line.from, 0) / hour;
    expect([hoursOf("vcpu.hour"), hoursOf("machine.hour"), hoursOf("storage.gib.hour")]).toEqual([4, 4, 6]);
  });

  test("a resize is charged at each size for its time, an exposure only while it is open", () => {
    const entries = [
      entry(1, 0, "running", tiny),
      entry(2, hour, "running", { ...tiny, vcpus: 4 } as LedgerSize),
      entry(1, 0, "running", { type: "exposure" }, "x"),
      entry(2, hour, "stopped", { type: "exposure" }, "x"),
    ];
    const lines = rate({ entries, card: defaultRateCard, from: 0, to: 3 * hour });
    expect(lines.filter((line) => line.meter === "vcpu.hour").map((line) => [line.quantity, (line.to - line.from) / hour])).toEqual([
      ["2", 1],
      ["4", 2],
    ]);
    expect(lines.filter((line) => line.meter === "exposure.hour").map((line) => line.amount)).toEqual(["0.0020000000"]);
  });

  test("a grown disk is charged from then on, also of a stopped machine", () => {
    const grown = { ...nano, storageMiB: 1024 } as LedgerSize;
    const lines = rate({
      entries: [entry(1, 0, "stopped"), entry(2, hour, "stopped", grown)],
      card: defaultRateCard,
      from: 0,
      to: 2 * hour,
    });
    expect(lines.map((line) => [line.meter, line.quantity, line.from / hour])).toEqual([
      ["storage.gib.hour", "0.5", 0],
      ["storage.gib.hour", "1", 1],
    ]);
  });

  test("a late discovery is true from its effective time until the next known change", () => {
    const known = [entry(1, 0, "running"), entry(2, 8 * hour, "running")];
    const late = entry(3, 5 * hour, "stopped");
    const lines = rate({ entries: [...known, late], card: defaultRateCard, from: 0, to: 10 * hour });
    expect(lines.filter((line) => line.meter === "vcpu.hour").map((line) => [line.from / hour, line.to / hour])).toEqual([
      [0, 5],
      [8, 10],
    ]);
  });

  test("prices change inside an interval", () => {
    const lines = rate({ entries: [entry(1, 0, "running")], card: changingCard(2 * hour), from: 0, to: 3 * hour });
    expect(lines.filter((line) => line.meter === "vcpu.hour").map((line) => [line.unitPrice, line.amount])).toEqual([
      ["0.008", "0.0160000000"],
      ["0.011333", "0.0113330000"],
    ]);
  });

  test("time without prices is an error, not free of charge", () => {
    const card = { ...defaultRateCard, rates: [{ ...defaultRateCard.rates[0]!, from: hour, to: 2 * hour }] };
    for (const [from, to] of [
      [0, 2 * hour],
      [hour, 3 * hour],
    ] as const) {
      try {
        rate({ entries: [entry(1, 0, "running")], card, from, to });
        expect.unreachable();
      } catch (error) {
        expect(isAppError(error, "conflict") && error.detail[0]!.nearest).toContain("add prices that are valid at 1970-01-01T0");
      }
    }
    expect(rate({ entries: [entry(1, 0, "running")], card, from: hour, to: 2 * hour })).toHaveLength(4);
  });

  test("a rate card has neither gaps nor overlaps", () => {
    const [one] = defaultRateCard.rates;
    expect(parseRateCard(JSON.parse(JSON.stringify(defaultRateCard)))).toEqual(defaultRateCard);
    expect(() => parseRateCard({ ...defaultRateCard, currency: "euro" })).toThrow(/rate card standard is not valid/);
    for (const rates of [
      [
        { ...one!, to: 5 },
        { ...one!, from: 6 },
      ],
      [
        { ...one!, to: 5 },
        { ...one!, from: 4 },
      ],
      [one!, { ...one!, from: 6 }],
      [{ ...one!, from: 6, to: 5 }],
    ]) {
      expect(rateCardSchema.safeParse({ ...defaultRateCard, rates }).success).toBe(false);
    }
  });
});

const sizeArbitrary: fc.Arbitrary<LedgerSize> = fc.oneof(
  fc.record({
    type: fc.constant("machine" as const),
    kind: fc.constantFrom("vm" as const, "container" as const),
    vcpus: fc.integer({ min: 1, max: 4 }),
    memoryMiB: fc.integer({ min: 64, max: 4096 }),
    storageMiB: fc.integer({ min: 0, max: 5000 }),
  }),
  fc.constant({ type: "exposure" as const }),
);
const end = 100 * hour;
const entriesArbitrary = fc
  .array(
    fc.record({
      resource: fc.constantFrom("a", "b", "c"),
      effectiveAt: fc.integer({ min: -hour, max: end + hour }),
      size: sizeArbitrary,
      state: fc.constantFrom("running" as const, "running" as const, "stopped" as const, "released" as const),
    }),
    { maxLength: 12 },
  )
  .map((list) => list.map((one, seq) => ({ ...one, seq })));
const time = fc.integer({ min: 0, max: end });

test("property: what is charged at a moment is what the ledger says, once, for every moment", () => {
  fc.assert(
    fc.property(entriesArbitrary, time, time, (entries, changeAt, moment) => {
      const lines = rate({ entries, card: changingCard(Math.max(1, changeAt)), from: 0, to: end });
      for (const resource of ["a", "b", "c"]) {
        // The oracle looks at one moment only: the entry with the latest (effectiveAt, seq) up to it.
        const past = entries.filter((one) => one.resource === resource && one.effectiveAt <= moment);
        const truth = past.reduce<LedgerEntry | undefined>(
          (best, one) => (best === undefined || one.effectiveAt >= best.effectiveAt ? one : best),
          undefined,
        );
        const charged = lines.filter((line) => line.resource === resource && line.from <= moment && moment < line.to);
        const expected: string[] = [];
        if (moment < end && truth !== undefined && truth.state !== "released") {
          if (truth.size.type === "exposure") expected.push(...(truth.state === "running" ? ["exposure.hour 1"] : []));
          else {
            if (truth.state === "running")
              expected.push("machine.hour 1", `vcpu.hour ${truth.size.vcpus}`, `memory.gib.hour ${truth.size.memoryMiB / 1024}`);
            if (truth.size.storageMiB > 0) expected.push(`storage.gib.hour ${truth.size.storageMiB / 1024}`);
          }
        }
        expect(charged.map((line) => `${line.meter} ${Number(line.quantity)}`).sort()).toEqual(expected.sort());
      }
    }),
    { numRuns: 500 },
  );
});

test("property: splitting a period at any point sums to exactly the same, whatever the prices do", () => {
  fc.assert(
    fc.property(entriesArbitrary, time, time, (entries, changeAt, split) => {
      const card = changingCard(Math.max(1, changeAt));
      const whole = rate({ entries, card, from: 0, to: end });
      const halves = [...rate({ entries, card, from: 0, to: split }), ...rate({ entries, card, from: split, to: end })];
      expect(exactTotal(halves)).toBe(exactTotal(whole));
      expect(statementTotal(halves)).toBe(statementTotal(whole));
    }),
    { numRuns: 300 },
  );
});

test("property: the order of entries is irrelevant, rating again gives the same bytes, an entry that changes nothing adds no line", () => {
  fc.assert(
    fc.property(entriesArbitrary, fc.nat(), time, (entries, turn, at) => {
      const bytes = JSON.stringify(rate({ entries, card: defaultRateCard, from: 0, to: end }));
      const at0 = entries.length === 0 ? 0 : turn % entries.length;
      const turned = [...entries.slice(at0), ...entries.slice(0, at0)].reverse();
      expect(JSON.stringify(rate({ entries: turned, card: defaultRateCard, from: 0, to: end }))).toBe(bytes);
      const past = entries.filter((one) => one.resource === "a" && one.effectiveAt <= at);
      const truth = past.reduce<LedgerEntry | undefined>(
        (best, one) => (best === undefined || one.effectiveAt >= best.effectiveAt ? one : best),
        undefined,
      );
      const repeated = truth === undefined ? entries : [...entries, { ...truth, seq: 99, effectiveAt: at }];
      expect(JSON.stringify(rate({ entries: repeated, card: defaultRateCard, from: 0, to: end }))).toBe(bytes);
    }),
    { numRuns: 300 },
  );
});

test("property: an hour at constant size costs what costPerHour says", () => {
  fc.assert(
    fc.property(fc.array(sizeArbitrary, { maxLength: 5 }), (sizes) => {
      const entries = sizes.map((size, index) => entry(1, 0, "running", size, `r${index}`));
      const lines = rate({ entries, card: defaultRateCard, from: 0, to: hour });
      expect(statementTotal(lines, 20)).toBe(costAt(sizes));
    }),
  );
});

function costAt(sizes: readonly LedgerSize[]): string {
  const [whole = "0", fraction = ""] = costPerHour(sizes, defaultRateCard, 0).split(".");
  return `${whole}.${fraction.padEnd(20, "0")}`;
}
