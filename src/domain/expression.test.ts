import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AppError } from "#domain/error.ts";
import { expressionScope, renderScalar, renderValue, resolveSecrets } from "#domain/expression.ts";
import type { Scalar } from "#domain/expression.ts";

const db = [
  { name: "db-0", index: 0, address: "10.0.0.1" },
  { name: "db-1", index: 1, address: "10.0.0.2" },
];
const scope = expressionScope({ self: { index: 0, tier: "db" }, tier: { db }, web: 3, ratio: 0.5, label: "x", on: true }, [
  "app",
  "replication",
]);

function render(value: Scalar) {
  return renderValue("vapp.tiers.db.config.x", value, scope);
}

function refusal(value: Scalar) {
  try {
    render(value);
  } catch (error) {
    expect(error).toBeInstanceOf(AppError);
    expect((error as AppError).code).toBe("invalid_input");
    expect((error as AppError).detail).toHaveLength(1);
    const [detail] = (error as AppError).detail;
    expect(detail!.source).toBe("vapp.tiers.db.config.x");
    return detail!;
  }
  throw new Error(`${value} was not refused`);
}

describe("values", () => {
  test.each([
    ["${web}", 3],
    ["${ratio}", 0.5],
    ["${on}", true],
    ["${web + 1}", 4],
    ["${self.index == 0 ? 'primary' : 'standby'}", "primary"],
    ["${tier.db.0.address}", "10.0.0.1"],
    ["${tier.db[1].address}", "10.0.0.2"],
    ["http://${tier.db.1.address}:${web}/", "http://10.0.0.2:3/"],
    ["${tier.db.map(m, m.address).join(',')}", "10.0.0.1,10.0.0.2"],
    ["${size(tier.db)}", 2],
    ["${ratio * 1.5}", 0.75],
    ["${'a}b' + \"{\"}", "a}b{"],
    ["${'tier.db.0'}", "tier.db.0"],
    ["no expression, a $ and a { }", "no expression, a $ and a { }"],
    ["literal $${web}", "literal ${web}"],
    ["", ""],
    [7, 7],
    [false, false],
  ])("%s gives %s", (text, value) => {
    expect(render(text)).toEqual(value);
  });

  test("a value is never evaluated again", () => {
    const planted = expressionScope({ label: "${secret.app}" }, ["app"]);
    expect(renderValue("p", "${label}", planted)).toBe("${secret.app}");
    expect(renderValue("p", "a ${label}", planted)).toBe("a ${secret.app}");
  });
});

describe("secrets", () => {
  test("stay references, also through a condition and inside text", () => {
    expect(render("${secret.app}")).toEqual({ $secret: "app" });
    expect(render("${self.index == 0 ? secret.app : secret.replication}")).toEqual({ $secret: "app" });
    expect(render("a:${secret.app}@${web}b")).toEqual({ $template: ["a:", { $secret: "app" }, "@3b"] });
  });

  test("resolve only where their values are handed in", () => {
    const value = render("a:${secret.app}@${secret.replication}");
    expect(resolveSecrets(value, (name) => `<${name}>`)).toBe("a:<app>@<replication>");
    expect(resolveSecrets(render("${secret.app}"), (name) => `<${name}>`)).toBe("<app>");
    expect(resolveSecrets(5, () => "never")).toBe(5);
  });

  test("are refused inside an operation and outside of config", () => {
    expect(refusal("${'x' + secret.app}").nearest).toContain("${secret.name}");
    expect(refusal("${string(secret.app)}").nearest).toContain("${secret.name}");
    expect(() => renderScalar("image", "${secret.app}", scope)).toThrow(/only in `config`/);
    // A comparison could tell something about a secret; it only ever compares references.
    expect(render("${secret.app == secret.replication}")).toBe(false);
  });
});

describe("refusals name the nearest fix", () => {
  test.each([
    ["${webb}", 'use "web"'],
    ["${tier.dbx.0.address}", 'use "db"'],
    ["${tier.db.0.addres}", 'use "address"'],
    ["${secret.ap}", 'use "app"'],
    ["${tier.db.7.address}", "below the tier's count"],
    ["${label.matches('a')}", "use one of the known"],
    ["${tier.db.map(a, tier.db.map(b, b.index))}", "single loop"],
    ["${tier.db}", "select one attribute"],
    ["${secret}", "select one attribute"],
    ["${web", "close the expression"],
    ["${web + }", "known names"],
    ["${9007199254740993}", "select one attribute"],
    ["${'1.0' + 1}", "correct the expression"],
  ])("%s", (text, nearest) => {
    expect(refusal(text).nearest).toContain(nearest);
  });

  test("depth and length are bounded", () => {
    expect(refusal(`\${${"(".repeat(60)}1${")".repeat(60)}}`).constraint).toMatch(/depth/i);
    expect(refusal(`\${${"1+".repeat(600)}1}`).constraint).toContain("1024");
    expect(refusal(`\${${"1+".repeat(300)}1}`).constraint).toMatch(/nodes/i);
    expect(refusal("y".repeat(20_000)).constraint).toContain("16384");
  });
});

test("property: text without an expression is unchanged, and rendering never throws anything but a refusal", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 200 }), (text) => {
      if (!text.includes("${")) expect(render(text)).toBe(text);
      for (const candidate of [text, `\${${text}}`, `a\${${text}`]) {
        try {
          render(candidate);
        } catch (error) {
          expect(error).toBeInstanceOf(AppError);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test("property: a parameter put into text gives exactly its characters", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 100 }), fc.integer(), (label, web) => {
      const own = expressionScope({ label, web }, []);
      expect(renderValue("p", "<${label}|${web}>", own)).toBe(`<${label}|${web}>`);
      expect(renderValue("p", "${label}", own)).toBe(label);
      expect(renderValue("p", "${web}", own)).toBe(web === 0 ? 0 : web);
    }),
  );
});
