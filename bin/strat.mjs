#!/usr/bin/env node
/** `strat`: in a clone it starts the sources through the bootstrap; in an installed package it starts what was built. */
import { existsSync } from "node:fs";

const bootstrap = new URL("../tools/bootstrap.mjs", import.meta.url);
if (existsSync(bootstrap)) {
  process.argv.splice(2, 0, "strat");
  await import(bootstrap.href);
} else {
  await import(new URL("../src/cli/main.js", import.meta.url).href);
}
