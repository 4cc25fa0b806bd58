/** All tables. Each noun adds its row types here. */
import type { EngineSchema } from "#store/schema-engine.ts";

export interface Schema extends EngineSchema {}
