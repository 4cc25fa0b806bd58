#!/usr/bin/env node
/** `strat`: in a clone it starts the sources through the bootstrap; in an installed package it starts the built bundle. */
import { existsSync } from "node:fs";

const bootstrap = new URL("../tools/bootstrap.mjs", import.meta.url);
if (existsSync(bootstrap)) {
  process.argv.splice(2, 0, "strat");
  await import(bootstrap.href);
} else {
  await import(new URL("../dist/strat.mjs", import.meta.url).href);
}
