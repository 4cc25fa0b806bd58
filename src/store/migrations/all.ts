/** Every migration, in order. A released one never changes; a change of the schema is a new one. */
import type { Migration } from "#store/migrate.ts";
import * as engine from "#store/migrations/0001-engine.ts";
import * as core from "#store/migrations/0002-core.ts";

export const migrations: readonly Migration[] = [
  { name: "0001-engine", up: engine.up },
  { name: "0002-core", up: core.up },
];
