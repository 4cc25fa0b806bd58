/** Row types of migration 0002, as Kysely sees them. JSON columns are typed where their schema is ours. */
import type { ColumnType, Generated } from "kysely";
import type { DefaultTimestamp as At, JsonColumn, NullableJsonColumn, NullableTimestamp as MaybeAt } from "#store/schema-engine.ts";

export interface InstallationTable {
  one: Generated<boolean>;
  id: string;
  created_at: At;
}
export interface OrganizationTable {
  id: string;
  name: string;
  created_at: At;
}
export interface ProjectTable {
  id: string;
  organization_id: string;
  name: string;
  prefix_pool: string;
  created_at: At;
}
export interface PrincipalTable {
  id: string;
  organization_id: string;
  name: string;
  kind: "person" | "service";
  created_at: At;
}
export interface TokenTable {
  hash: Buffer;
  principal_id: string;
  name: string;
  created_at: At;
  expires_at: MaybeAt;
  revoked_at: MaybeAt;
}
export interface RoleGrantTable {
  id: string;
  organization_id: string;
  principal_id: string;
  role: "admin" | "member" | "automation";
  project_id: string | null;
  created_at: At;
}
export interface PolicyTable {
  id: string;
  organization_id: string | null;
  name: string;
  document: string;
  generation: Generated<number>;
  created_at: At;
}
export interface OfferingTable {
  id: string;
  organization_id: string;
  name: string;
  version: string;
  document: JsonColumn;
  digest: string;
  created_at: At;
}
export interface ImageTable {
  id: string;
  organization_id: string;
  name: string;
  recipe_hash: string;
  created_at: At;
}
export interface ImageVariantTable {
  image_id: string;
  format: string;
  digest: string;
  size_bytes: ColumnType<number, number, number>;
  path: string | null;
}
export interface SiteTable {
  id: string;
  organization_id: string;
  name: string;
  kind: "own" | "partner" | "public";
  location: string;
  fabric_kind: string;
  fabric_config: JsonColumn;
  generation: Generated<number>;
  created_at: At;
  removed_at: MaybeAt;
}
export interface EndpointTable {
  id: string;
  organization_id: string;
  site_id: string;
  name: string;
  provider: string;
  config: JsonColumn;
  state: ColumnType<
    "unchecked" | "ready" | "unreachable",
    "unchecked" | "ready" | "unreachable" | undefined,
    "unchecked" | "ready" | "unreachable"
  >;
  description: NullableJsonColumn;
  checked_at: MaybeAt;
  generation: Generated<number>;
  created_at: At;
  mode: ColumnType<"manage" | "observe", "manage" | "observe" | undefined, "manage" | "observe">;
  /** Secret members of `config`, sealed. */
  sealed: ColumnType<Buffer | null, Buffer | null | undefined, Buffer | null>;
  removed_at: MaybeAt;
}
export interface RateCardTable {
  id: string;
  organization_id: string;
  name: string;
  document: JsonColumn;
  created_at: At;
}
export interface QuotaBalanceTable {
  project_id: string;
  dimension: string;
  used: ColumnType<number, number | undefined, number>;
  quota: ColumnType<number, number, number>;
}
export interface PlanTable {
  id: string;
  organization_id: string;
  project_id: string;
  principal_id: string;
  action: string;
  vapp_id: string | null;
  input: JsonColumn;
  document: JsonColumn;
  hash: string;
  created_at: At;
  expires_at: Date;
}
export type VappState = "provisioning" | "active" | "degraded" | "stopped" | "changing" | "deleting" | "deleted" | "failed";
export interface VappTable {
  id: string;
  organization_id: string;
  project_id: string;
  site_id: string;
  name: string;
  offering_id: string;
  parameters: JsonColumn;
  blueprint: JsonColumn;
  desired: "running" | "stopped" | "deleted";
  state: VappState;
  generation: Generated<number>;
  event_seq: Generated<number>;
  run_id: string | null;
  created_at: At;
  deleted_at: MaybeAt;
  /** What it was before the order in flight; null when there is none. */
  before: NullableJsonColumn;
  /** When a deleted vApp is purged. */
  delete_at: MaybeAt;
}
export interface OrderTable {
  id: string;
  organization_id: string;
  project_id: string;
  principal_id: string;
  plan_id: string;
  vapp_id: string;
  run_id: string;
  action: string;
  summary: string;
  bounds: JsonColumn;
  state: ColumnType<
    "running" | "succeeded" | "compensated" | "failed",
    "running" | undefined,
    "running" | "succeeded" | "compensated" | "failed"
  >;
  created_at: At;
  finished_at: MaybeAt;
}
export type MachineState = "planned" | "running" | "stopped" | "paused" | "crashed" | "missing" | "unknown" | "deleted";
export interface MachineTable {
  id: string;
  organization_id: string;
  vapp_id: string;
  endpoint_id: string;
  name: string;
  tier: string;
  ordinal: number;
  kind: "vm" | "container";
  image: string;
  image_digest: string;
  external_name: string;
  size: string;
  vcpus: number;
  memory_mib: number;
  spec: JsonColumn;
  /** The specification an order in flight asks for. */
  wanted: NullableJsonColumn;
  /** Differences found at the endpoint (domain/drift.ts); null when there are none. */
  drift: NullableJsonColumn;
  /** Since when a running machine does not answer its health check. */
  unhealthy_since: MaybeAt;
  reason: string;
  desired: "running" | "stopped" | "deleted";
  state: MachineState;
  state_at: At;
  healthy_at: MaybeAt;
  ledger_seq: Generated<number>;
  created_at: At;
  released_at: MaybeAt;
}
export interface SegmentTable {
  id: string;
  organization_id: string;
  vapp_id: string;
  site_id: string;
  name: string;
  external_name: string;
  isolated: boolean;
  prefix: string | null;
  gateway: string | null;
  attachment: string | null;
  state: "planned" | "realised" | "removed";
  ledger_seq: Generated<number>;
  created_at: At;
  released_at: MaybeAt;
}
export interface AddressTable {
  segment_id: string;
  machine_id: string;
  address: string;
  mac: string;
}
export interface ExposureTable {
  id: string;
  organization_id: string;
  vapp_id: string;
  site_id: string;
  machine_id: string;
  segment_id: string;
  name: string;
  external_name: string;
  target_port: number;
  address: string | null;
  port: number | null;
  state: "planned" | "realised" | "removed";
  ledger_seq: Generated<number>;
  created_at: At;
  released_at: MaybeAt;
}
export interface DecisionTable {
  run_id: string;
  step_id: string;
  principal_id: string;
  decision: "confirm" | "refuse";
  reason: string;
  at: At;
}
export interface SnapshotTable {
  id: string;
  organization_id: string;
  vapp_id: string;
  name: string;
  external_name: string;
  /** Names of the machines it holds. */
  machines: JsonColumn;
  state: "planned" | "realised" | "removed";
  taken_at: MaybeAt;
  created_at: At;
  released_at: MaybeAt;
}
export interface SecretTable {
  id: string;
  organization_id: string;
  vapp_id: string;
  name: string;
  ciphertext: Buffer;
  created_at: At;
}
export interface FactTable {
  subject_id: string;
  layer: string;
  name: string;
  value: JsonColumn;
  source: string;
  observed_at: Date;
}
export interface EventTable {
  id: string;
  organization_id: string;
  vapp_id: string | null;
  seq: number | null;
  position: ColumnType<number | null, undefined, number>;
  type: string;
  subject: string;
  data: JsonColumn;
  at: At;
}
export interface LedgerTable {
  organization_id: string;
  project_id: string;
  vapp_id: string;
  resource_id: string;
  seq: number;
  kind: string;
  name: string;
  size: JsonColumn;
  state: string;
  source: string;
  effective_at: Date;
  recorded_at: At;
}
export interface AuditTable {
  id: Generated<number>;
  organization_id: string;
  principal_id: string | null;
  action: string;
  resource: string;
  decision: string;
  reason: string;
  request_id: string;
  data: JsonColumn;
  at: At;
  sealed_seq: ColumnType<number | null, undefined, number>;
  hash: ColumnType<string | null, undefined, string>;
}
export interface IdempotencyKeyTable {
  principal_id: string;
  key: string;
  request_hash: string;
  status: number | null;
  response: NullableJsonColumn;
  created_at: At;
}
export interface RequestLogTable {
  id: string;
  principal_id: string | null;
  method: string;
  route: string;
  status: number;
  duration_ms: number;
  at: At;
}

export interface CoreSchema {
  installation: InstallationTable;
  organization: OrganizationTable;
  project: ProjectTable;
  principal: PrincipalTable;
  token: TokenTable;
  role_grant: RoleGrantTable;
  policy: PolicyTable;
  offering: OfferingTable;
  image: ImageTable;
  image_variant: ImageVariantTable;
  site: SiteTable;
  endpoint: EndpointTable;
  rate_card: RateCardTable;
  quota_balance: QuotaBalanceTable;
  plan: PlanTable;
  vapp: VappTable;
  order: OrderTable;
  machine: MachineTable;
  segment: SegmentTable;
  address: AddressTable;
  exposure: ExposureTable;
  secret: SecretTable;
  snapshot: SnapshotTable;
  decision: DecisionTable;
  fact: FactTable;
  event: EventTable;
  ledger: LedgerTable;
  audit: AuditTable;
  idempotency_key: IdempotencyKeyTable;
  request_log: RequestLogTable;
}
