/** Every migration, in order. A released one never changes; a change of the schema is a new one. */
import type { Migration } from "#store/migrate.ts";
import * as engine from "#store/migrations/0001-engine.ts";
import * as core from "#store/migrations/0002-core.ts";
import * as dayTwo from "#store/migrations/0003-day-two.ts";
import * as endpointMode from "#store/migrations/0004-endpoint-mode.ts";

export const migrations: readonly Migration[] = [
  { name: "0001-engine", up: engine.up },
  { name: "0002-core", up: core.up },
  { name: "0003-day-two", up: dayTwo.up },
  { name: "0004-endpoint-mode", up: endpointMode.up },
];
