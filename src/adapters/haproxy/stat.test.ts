import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalAddress, parseStat, type ServerStat } from "#adapters/haproxy/stat.ts";
import { isAppError } from "#domain/error.ts";

const columns = ["pxname", "svname", "qcur", "qmax", "scur", "stot", "status", "check_status", "last_chk", "addr", "srv_icur", "uweight"];

interface Line {
  readonly name: string;
  readonly qcur: number;
  readonly scur: number;
  readonly stot: number;
  readonly status: string;
  readonly check: string;
  readonly note: string;
  readonly addr: string;
  readonly idle: string;
  readonly weight: number;
}

const line: fc.Arbitrary<Line> = fc.record({
  name: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
  qcur: fc.nat(),
  scur: fc.nat(),
  stot: fc.nat(),
  status: fc.constantFrom("UP", "UP 1/3", "DOWN", "DOWN 1/2", "MAINT", "MAINT (via a/b)", "DRAIN", "DRAIN 1/2", "NOLB", "no check"),
  check: fc.constantFrom("L7OK", "* L7OK", "L4OK", "INI", "", "L4CON", "L7STS", "* L7TOUT"),
  note: fc.string(),
  addr: fc.oneof(
    fc.tuple(fc.ipV4(), fc.nat(65_535)).map(([ip, port]) => `${ip}:${port}`),
    fc.tuple(fc.ipV6(), fc.nat(65_535)).map(([ip, port]) => `[${ip.toLowerCase()}]:${port}`),
    fc.constant(""),
  ),
  idle: fc.oneof(fc.constant(""), fc.nat().map(String)),
  weight: fc.nat(256),
});

function quoted(text: string): string {
  return /[,"\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function written(lines: readonly Line[], order: readonly string[] = columns): string {
  const rows = lines.map((one) => {
    const values: Record<string, string> = {
      pxname: "web",
      svname: one.name,
      qcur: String(one.qcur),
      qmax: "",
      scur: String(one.scur),
      stot: String(one.stot),
      status: one.status,
      check_status: one.check,
      last_chk: one.note,
      addr: one.addr,
      srv_icur: one.idle,
      uweight: String(one.weight),
    };
    return `${order.map((name) => quoted(values[name] ?? "")).join(",")}`;
  });
  return `# ${order.join(",")}\n${rows.map((row) => `${row}\n`).join("")}\n`;
}

const one: Line = {
  name: "web-0",
  qcur: 0,
  scur: 0,
  stot: 4,
  status: "UP",
  check: "L7OK",
  note: "",
  addr: "10.0.0.1:80",
  idle: "2",
  weight: 1,
};

describe("reading", () => {
  it("gives every figure of every line, whatever else stands in it", () => {
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 20 }),
        fc.shuffledSubarray(columns.slice(2), { minLength: columns.length - 2 }),
        (lines, rest) => {
          const rows = parseStat(written(lines, ["pxname", "svname", ...rest]));
          expect(rows).toHaveLength(lines.length);
          for (const [index, row] of rows.entries()) {
            const from = lines[index]!;
            expect(row).toMatchObject({ pool: "web", name: from.name, inFlight: from.qcur + from.scur, requestsTotal: from.stot });
            expect(row).toMatchObject({ weight: from.weight, idle: Number(from.idle), check: from.check.replace("* ", "") });
            expect(row.port).toBe(from.addr === "" ? 0 : Number(from.addr.slice(from.addr.lastIndexOf(":") + 1)));
          }
        },
      ),
    );
  });

  it("never takes a part for the whole", () => {
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 5 }), fc.double({ min: 0, max: 1, noNaN: true }), (lines, share) => {
        const text = written(lines.map((each) => ({ ...each, note: "" })));
        const cut = text.slice(0, Math.floor(share * (text.length - 1)));
        expect(refusalOf(cut)).toBe("endpoint_unreachable");
      }),
    );
  });

  it("throws only what callers know, on any text", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), fc.boolean(), (text, headed) => {
        const code = refusalOf(headed ? `# ${columns.join(",")}\n${text}\n\n` : text);
        expect(["read", "endpoint_refused", "endpoint_unreachable"]).toContain(code);
      }),
    );
  });

  it.each([
    ["a figure that is none", written([one]).replace("web-0,0", "web-0,many")],
    ["a negative figure", written([one]).replace("web-0,0", "web-0,-1")],
    ["a column that is missing", written([one]).replaceAll("scur", "curs")],
    ["a line that is short", written([one]).replace(",2,1\n", "\n")],
    ["a quoted field that does not end", written([one]).replace("L7OK", '"L7OK')],
    ["an address that is none", written([one]).replace("10.0.0.1", "10.0.0.256")],
  ])("refuses %s", (_what, text) => {
    expect(refusalOf(text)).toBe("endpoint_refused");
  });
});

describe("states", () => {
  const state = (line: Partial<Line>): ServerStat["state"] => parseStat(written([{ ...one, ...line }]))[0]!.state;

  it("a server counts as up only with weight and a passed check", () => {
    expect(state({})).toBe("up");
    expect(state({ check: "* L7OK" })).toBe("up");
    expect(state({ check: "L7OKC" })).toBe("up");
    expect(state({ status: "UP 1/2" })).toBe("up");
    expect(state({ status: "UP 1/2", check: "INI" })).toBe("starting");
    expect(state({ check: "" })).toBe("starting");
    expect(state({ weight: 0 })).toBe("starting");
  });

  it("the others are what they say", () => {
    expect(state({ status: "MAINT (via a/b)", check: "" })).toBe("maintenance");
    expect(state({ status: "DRAIN 1/2" })).toBe("draining");
    expect(state({ status: "NOLB" })).toBe("draining");
    expect(state({ status: "DOWN 1/2", check: "L4CON" })).toBe("down");
    expect(state({ status: "no check", check: "" })).toBe("unknown");
  });
});

it("two spellings of an address are one", () => {
  expect(canonicalAddress("FD00:0:0::5")).toBe("fd00::5");
  expect(canonicalAddress("::ffff:10.0.0.1")).toBe(canonicalAddress("::ffff:a00:1"));
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (address) => canonicalAddress(canonicalAddress(address)) === canonicalAddress(address)),
  );
});

function refusalOf(text: string): string {
  try {
    parseStat(text);
    return "read";
  } catch (error) {
    if (!isAppError(error)) throw error;
    return error.code;
  }
}
