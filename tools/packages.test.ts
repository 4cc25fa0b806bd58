import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { prerequisites } from "#agent/prerequisites.ts";
import { debianPackages, type DebianPackage } from "./packages.mjs";

const listed = (groups: readonly DebianPackage["group"][]) => debianPackages.filter((p) => groups.includes(p.group)).map((p) => p.name);

/** Part of every Debian, so never installed by the bootstrap. */
const essential = ["util-linux"];

test("the bootstrap installs whatever the agent asks for", () => {
  const wanted = prerequisites.map((p) => p.package).filter((name) => !essential.includes(name));
  expect(listed(["site"])).toEqual(expect.arrayContaining(wanted));
});

test("the bootstrap installs whatever a recipe needs on the building host", () => {
  const recipes = globSync("images/*/recipe.yaml").map((file) => parse(readFileSync(file, "utf8")) as { packages?: { host?: string[] } });
  expect(recipes.length).toBeGreaterThan(0);
  const wanted = recipes.flatMap((recipe) => recipe.packages?.host ?? []);
  expect(listed(["site", "images"])).toEqual(expect.arrayContaining(wanted));
});

test("every package says why and how it is found", () => {
  const vague = debianPackages.filter((p) => p.why === "" || p.probe.length === 0 || p.probe.some((path) => !path.startsWith("/")));
  expect(vague).toEqual([]);
});
