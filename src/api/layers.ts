import { vappLayersSchema } from "#domain/layer-view.ts";
import { showLayers } from "#app/layers.ts";
import { operation } from "#api/operation.ts";

export const layersOperations = [
  operation({
    id: "vappLayers",
    method: "GET",
    path: "/v1/vapps/{vapp}/layers",
    tag: "vapp",
    summary: "Show the truth layer by layer: desired and observed, source and age, who set it, what breaks if it goes",
    answer: vappLayersSchema,
    handle: async (ctx, { params }) => ({ body: await showLayers(ctx, params.vapp) }),
  }),
];
