/** Every operation of the API, in the order of the document. */
import { auditOperations } from "#api/audit.ts";
import { billOperations } from "#api/bill.ts";
import { consoleSocketOperations } from "#api/console-socket.ts";
import { endpointOperations } from "#api/endpoint.ts";
import { eventOperations } from "#api/event.ts";
import { imageOperations } from "#api/image.ts";
import { inventoryOperations } from "#api/inventory.ts";
import { layersOperations } from "#api/layers.ts";
import { offeringOperations } from "#api/offering.ts";
import type { Operation } from "#api/operation.ts";
import { orderOperations } from "#api/order.ts";
import { planOperations } from "#api/plan.ts";
import { runOperations } from "#api/run.ts";
import { siteOperations } from "#api/site.ts";
import { tunnelOperations } from "#api/tunnel.ts";
import { vappOperations } from "#api/vapp.ts";

export const operations: readonly Operation[] = [
  ...planOperations,
  ...orderOperations,
  ...runOperations,
  ...vappOperations,
  ...consoleSocketOperations,
  ...tunnelOperations,
  ...layersOperations,
  ...imageOperations,
  ...offeringOperations,
  ...siteOperations,
  ...endpointOperations,
  ...inventoryOperations,
  ...eventOperations,
  ...auditOperations,
  ...billOperations,
];
