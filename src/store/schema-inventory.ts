/** Row types of what endpoints hold (migration 0004), as Kysely sees them. */
import type { ColumnType, Generated } from "kysely";
import type { JsonColumn, NullableTimestamp } from "#store/schema-engine.ts";

export interface InventoryTable {
  id: Generated<number>;
  endpoint_id: string;
  external_id: string;
  name: string;
  /** An `InventoryItem` of the provider contract. */
  item: JsonColumn;
  first_seen: Date;
  last_seen: Date;
  gone_at: NullableTimestamp;
}

export interface ImageCopyTable {
  endpoint_id: string;
  digest: string;
  size_bytes: ColumnType<number, number, number>;
  seen_at: Date;
}

export interface InventorySchema {
  image_copy: ImageCopyTable;
  inventory: InventoryTable;
}
