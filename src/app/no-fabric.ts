/** The fabric of a site that has none: a place where machines are only observed. There is nothing there and nothing can be made. */
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { Fabric, FabricFactory } from "#fabric/contract.ts";

const refuse = (): Promise<never> =>
  Promise.reject(
    new AppError("capability_missing", "the site has no fabric", {
      detail: [
        {
          constraint: "networks are made by the fabric of a site",
          source: "the site's fabric is none",
          nearest: "name another site, or give this one a fabric: strat site add NAME --fabric linux --socket PATH",
        },
      ],
    }),
  );

const nothing = (): Promise<never[]> => Promise.resolve([]);

const noFabric: Fabric = {
  kind: "none",
  capabilities: { isolation: false, exposure: false, reach: false, outbound: false, ipv6: false, multiHost: false },
  segmentEnsure: refuse,
  // Removing what cannot be there succeeds, as everywhere.
  segmentRemove: () => Promise.resolve(),
  segmentList: nothing,
  exposureEnsure: refuse,
  exposureRemove: () => Promise.resolve(),
  exposureList: nothing,
  reach: refuse,
  close: () => Promise.resolve(),
};

export const noFabricFactory: FabricFactory = {
  kind: "none",
  open(config) {
    z.strictObject({}).parse(config);
    return noFabric;
  },
};
