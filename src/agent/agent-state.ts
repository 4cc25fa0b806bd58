/**
 * The agent's memory: one JSON file, replaced atomically. It holds what was asked for (segments, exposures) and what is needed to
 * adopt a running site after a crash of the agent. What is really there is always asked of the kernel.
 */
import { open, readFile, rename } from "node:fs/promises";
import { z } from "zod";
import { AppError } from "#domain/error.ts";

const ownerSchema = z.object({
  installation: z.string().min(1).max(64),
  vapp: z.string().min(1).max(64),
  object: z.string().min(1).max(64),
});
const portSchema = z.number().int().min(1).max(65_535);
export const segmentNameSchema = z.string().regex(/^[a-z][a-z0-9]{0,14}$/);
export const exposureNameSchema = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/);

export const segmentSchema = z.object({
  name: segmentNameSchema,
  owner: ownerSchema,
  prefix: z.cidrv4(),
  gateway: z.ipv4(),
  isolated: z.boolean(),
});

export const exposureSchema = z.object({
  name: exposureNameSchema,
  owner: ownerSchema,
  target: z.object({ segment: segmentNameSchema, address: z.ipv4(), port: portSchema }),
  port: portSchema.optional(),
});

const processSchema = z.object({ pid: z.number().int(), startTicks: z.string() });

const siteSchema = z.object({
  /** `own`: a namespace with libvirtd and LXD of its own. `host`: the host's daemons and no namespace. */
  daemons: z.enum(["own", "host"]),
  /** Which /30 of 10.99.0.0/16 the uplink has; null for `host`. */
  uplinkIndex: z.number().int().nullable(),
  /** Keeps the namespaces alive; its death ends every process of the site. */
  holder: processSchema.nullable(),
  /** Kept because a restarted agent may itself live in other control groups. */
  cgroupFolders: z.array(z.string()),
  /** Null until it has been found out. */
  accelerator: z.enum(["kvm", "tcg"]).nullable(),
});

const stateSchema = z.object({
  version: z.literal(1),
  site: siteSchema.nullable(),
  segments: z.record(z.string(), segmentSchema),
  /** `chosenPort` is the port that was taken and is kept across restarts. */
  exposures: z.record(z.string(), exposureSchema.extend({ chosenPort: portSchema })),
});

export type AgentState = z.infer<typeof stateSchema>;
export type SiteState = z.infer<typeof siteSchema>;
export type SegmentRecord = z.infer<typeof segmentSchema>;
export type ExposureRecord = AgentState["exposures"][string];
export { ownerSchema };

const empty: AgentState = { version: 1, site: null, segments: {}, exposures: {} };

export interface StateFile {
  /** What was last written. */
  current(): AgentState;
  /** Replaces the state on disk, then in memory. Callers are serialised by the agent's one queue. */
  write(next: AgentState): Promise<void>;
}

export async function openStateFile(path: string): Promise<StateFile> {
  let current = await load(path);
  return {
    current: () => current,
    async write(next) {
      const temporary = `${path}.new`;
      const file = await open(temporary, "w", 0o600);
      try {
        await file.writeFile(`${JSON.stringify(next, null, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
      current = next;
    },
  };
}

async function load(path: string): Promise<AgentState> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return empty;
  const parsed = stateSchema.safeParse(JSON.parse(text));
  if (!parsed.success) throw new AppError("internal", `the agent's state file ${path} is not readable`, { cause: parsed.error });
  return parsed.data;
}
