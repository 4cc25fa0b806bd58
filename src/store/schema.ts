/** All tables, as Kysely sees them. */
import type { CoreSchema } from "#store/schema-core.ts";
import type { EngineSchema } from "#store/schema-engine.ts";
import type { InventorySchema } from "#store/schema-inventory.ts";

export interface Schema extends EngineSchema, CoreSchema, InventorySchema {}
