/**
 * The truth about a vApp, layer by layer (R118, R125-R128): what is desired and what was observed side by side, where and when it was
 * seen, who set the desired value, and what breaks if it goes. `layer-render.ts` makes it from facts; the API shows it as it is.
 *
 * Nothing here is a secret: of secrets the name and the age are shown, never the value.
 */
import { z } from "zod";
import { layers } from "#domain/fact.ts";

/**
 * `as desired`: everything desired was observed so, lately. `differs`: something was observed to be otherwise. `unknown`: nothing is
 * known to differ, but something desired was not observed, or too long ago. `none`: the blueprint says there is nothing in this layer.
 */
export const layerStates = ["as desired", "differs", "unknown", "none"] as const;
export type LayerState = (typeof layerStates)[number];

export const layerSubjectKinds = [
  "vapp",
  "machine",
  "volume",
  "snapshot",
  "segment",
  "exposure",
  "balancer",
  "secret",
  "endpoint",
  "principal",
] as const;
export type LayerSubjectKind = (typeof layerSubjectKinds)[number];

export const layerWhySchema = z.object({
  text: z.string().meta({ description: "What set the desired value, in words" }),
  order: z.string().nullable().meta({ description: "Id of the order that set it" }),
  process: z.string().nullable().meta({ description: "Name of the process of that order" }),
  principal: z.string().nullable().meta({ description: "Who placed that order" }),
  policy: z.string().nullable().meta({ description: "What policy said to it" }),
});
export type LayerWhy = z.infer<typeof layerWhySchema>;

export const layerItemSchema = z
  .object({
    subject: z.object({ kind: z.enum(layerSubjectKinds), name: z.string() }),
    name: z.string().meta({ description: "Attribute, e.g. power, address, health" }),
    desired: z.json().meta({ description: "Null: nothing is demanded, it is shown because it is so" }),
    observed: z.json().meta({ description: "Null: nobody has seen it" }),
    agrees: z.boolean().nullable().meta({ description: "Null: nothing to compare" }),
    source: z.string().nullable().meta({ description: "Where it was observed, e.g. libvirt:local, probe, ledger" }),
    observedAt: z.string().nullable().meta({ description: "When it was observed, RFC 3339 UTC" }),
    stale: z.boolean().meta({ description: "Observed longer ago than this attribute is looked at" }),
    why: layerWhySchema.nullable(),
    impact: z.string().nullable().meta({ description: "What breaks if it goes; null when nothing does" }),
  })
  .meta({ id: "LayerItem" });
export type LayerItem = z.infer<typeof layerItemSchema>;

export const layerSchema = z
  .object({
    layer: z.enum(layers),
    state: z.enum(layerStates),
    summary: z.string().meta({ description: "One sentence" }),
    items: z.array(layerItemSchema),
  })
  .meta({ id: "Layer" });
export type LayerView = z.infer<typeof layerSchema>;

export const vappLayersSchema = z
  .object({
    vapp: z.string().meta({ description: "Name of the vApp" }),
    at: z.string().meta({ description: "When this was put together, RFC 3339 UTC" }),
    layers: z.array(layerSchema).meta({ description: "All seven, always, in the same order" }),
  })
  .meta({ id: "VappLayers" });
export type VappLayers = z.infer<typeof vappLayersSchema>;
