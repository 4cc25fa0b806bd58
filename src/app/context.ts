/** What every use case is given: who asks, the platform it runs on, and the means of the request. No globals. */
import type { CallContext } from "#domain/context.ts";
import type { ProcessDefinition } from "#process/contract.ts";
import type { Database, Tx } from "#store/database.ts";
import type { Balancers } from "#app/balancer-registry.ts";
import type { EndpointRegistry } from "#app/endpoint-registry.ts";
import type { Decision, PolicyGate } from "#app/policy.ts";
import type { SecretBox } from "#app/secret-box.ts";

export interface Grant {
  readonly role: "admin" | "member" | "automation";
  /** Null: every project of the organization. */
  readonly projectId: string | null;
}

export interface Actor {
  readonly principalId: string;
  readonly organizationId: string;
  readonly name: string;
  readonly grants: readonly Grant[];
}

/** One per control-plane process. */
export interface Platform {
  readonly database: Database;
  readonly installationId: string;
  readonly operatorId: string;
  readonly policy: PolicyGate;
  readonly secrets: SecretBox;
  readonly endpoints: EndpointRegistry;
  readonly processes: ReadonlyMap<string, ProcessDefinition<unknown>>;
  readonly balancers: Balancers;
}

export interface AppContext extends CallContext {
  readonly platform: Platform;
  readonly actor: Actor;
  readonly requestId: string;
  /** Last thing in every transaction of the request's change; may refuse it by throwing. Set where a request may be repeated. */
  readonly committing?: (tx: Tx) => Promise<void>;
}

/** A context policy has permitted; only this can write. */
export interface DecidedContext extends AppContext {
  readonly decision: Decision;
}
