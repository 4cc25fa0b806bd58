/** A fact: one observed attribute with layer, source and time. Nothing is shown without both (R128). */
import { z } from "zod";

/** The seven layers of virtualization (R118). */
export const layers = ["access", "application", "processing", "storage", "network", "management", "security"] as const;
export type Layer = (typeof layers)[number];

export const factSchema = z.object({
  layer: z.enum(layers),
  name: z.string().meta({ description: "Attribute, e.g. power, address, health" }),
  value: z.json(),
  source: z.string().meta({ description: "Where it was observed, e.g. libvirt:local" }),
  observedAt: z.string().meta({ description: "When it was observed, RFC 3339 UTC" }),
});
export type Fact = z.infer<typeof factSchema>;
