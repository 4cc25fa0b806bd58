/** Processes of the operator's own: files that export `processes`, a list of definitions. One with the name of a built-in one replaces it. */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { z } from "zod";
import { AppError } from "#domain/error.ts";
import type { ControlPlaneOptions } from "#main.ts";

type OwnProcesses = NonNullable<ControlPlaneOptions["processes"]>;

const shapeSchema = z.object({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,63}$/),
  version: z.string().min(1).max(64),
  summary: z.string().max(300),
  input: z.custom((value) => value instanceof z.ZodType || typeof (value as { safeParse?: unknown } | null)?.safeParse === "function"),
  onFailure: z.enum(["compensate", "stop"]),
  plan: z.custom((value) => typeof value === "function"),
});
const moduleSchema = z.object({ processes: z.array(shapeSchema).min(1).max(100) });

/** Throws `invalid_input` naming the file and what is missing in it. */
export async function loadProcesses(files: readonly string[]): Promise<OwnProcesses> {
  const loaded: OwnProcesses[number][] = [];
  for (const file of files) {
    const module = await importFile(file);
    const parsed = moduleSchema.safeParse(module);
    if (!parsed.success) throw refused(file, z.prettifyError(parsed.error).replaceAll("\n", " "), undefined);
    loaded.push(...(module as { processes: OwnProcesses }).processes);
  }
  return loaded;
}

async function importFile(file: string): Promise<unknown> {
  try {
    return await import(pathToFileURL(resolve(file)).href);
  } catch (cause) {
    throw refused(file, (cause as Error).message, cause);
  }
}

function refused(file: string, constraint: string, cause: unknown): AppError {
  return new AppError("invalid_input", `${file} holds no processes`, {
    detail: [{ constraint, source: file, nearest: "export `processes`, a list of process definitions (see examples/processes)" }],
    cause,
  });
}
