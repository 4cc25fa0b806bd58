/** What is at endpoints and not ours (R17): what was last seen of it, each claim with the record it comes from. */
import { AppError } from "#domain/error.ts";
import type { InventoryMachineView } from "#domain/inventory.ts";
import type { InventoryItem } from "#provider/contract.ts";
import { theEndpoint } from "#app/endpoint.ts";
import { catalogueResource } from "#app/resource.ts";
import { useCase } from "#app/use-case.ts";
import { inventoryList } from "#store/inventory.ts";

export interface InventoryQuery {
  readonly endpoint?: string | undefined;
  readonly gone: boolean;
  /** `id` of the last one of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

export const listInventory = useCase(
  { action: "inventory.read", resource: catalogueResource },
  async (ctx, query: InventoryQuery): Promise<InventoryMachineView[]> => {
    const endpoint = query.endpoint === undefined ? undefined : await theEndpoint(ctx, query.endpoint);
    const rows = await inventoryList(ctx.platform.database, {
      ...(endpoint === undefined ? {} : { endpointId: endpoint.id }),
      gone: query.gone,
      after: cursorOf(query.after),
      limit: query.limit,
    });
    return rows.map(viewOf);
  },
);

function cursorOf(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  const constraint = "`after` is the id of the last machine of the page before";
  throw new AppError("invalid_input", constraint, { detail: [{ constraint, source: "query, after", nearest: "use `next` of that page" }] });
}

function viewOf(row: Awaited<ReturnType<typeof inventoryList>>[number]): InventoryMachineView {
  const item = row.item as unknown as InventoryItem;
  return {
    id: row.id,
    endpoint: row.endpoint_name,
    mode: row.endpoint_mode,
    site: row.site_name,
    provider: row.provider,
    name: row.name,
    externalId: row.external_id,
    kind: item.kind,
    power: item.power,
    vcpus: item.vcpus,
    memoryMiB: item.memoryMiB,
    nics: item.nics.map(({ mac, attachment }) => ({ mac, attachment })),
    volumes: item.volumes.map(({ name, sizeMiB }) => ({ name, sizeMiB })),
    description: item.description,
    owner: ownerOf(item),
    age:
      item.created === null
        ? { since: row.first_seen.toISOString(), source: "first seen by us", isAtLeast: true }
        : { since: item.created.at, source: item.created.source, isAtLeast: false },
    firstSeen: row.first_seen.toISOString(),
    lastSeen: row.last_seen.toISOString(),
    goneAt: row.gone_at?.toISOString() ?? null,
  };
}

/** A mark of ours made by another installation is the best record there is. */
function ownerOf({ owner, ownerGuess }: InventoryItem): InventoryMachineView["owner"] {
  return owner === null ? ownerGuess : { who: `Stratiform installation ${owner.installation}`, source: "its ownership mark" };
}
