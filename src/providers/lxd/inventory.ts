/** Everybody's instances, in all projects, with what LXD's records say of their origin. Reads only. A client
 * certificate that is restricted to projects sees those. */
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import type { InventoryItem } from "#provider/contract.ts";
import type { LxdConnection } from "./connection.ts";
import { defaultProject, instanceFacts, instanceSchema, stringMap, type Instance } from "./instance.ts";
import { allVolumeSizes } from "./volume.ts";

/** Words that people end a key with to say whose it is, the most telling first. Names of instances are never read: they say anything. */
const ownerWords = [
  "owner",
  "contact",
  "responsible",
  "maintainer",
  "created_by",
  "creator",
  "email",
  "team",
  "customer",
  "tenant",
] as const;
/** LXD leaves `user.*` to people, on instances, profiles and projects; images bring `image.*` along. Our own marks are facts, no guess. */
const peopleKey = /^(?!user\.stratiform\.)(?:user|image)\.(?:.*\.)?([^.]+)$/;
const guessLimit = 200;

const projectSchema = z.object({ name: z.string(), config: stringMap.nullish() });
type Project = z.output<typeof projectSchema>;

export async function inventory(ctx: CallContext, lxd: LxdConnection): Promise<InventoryItem[]> {
  const projects = (await lxd.get(ctx, "/1.0/projects?recursion=1", z.array(projectSchema).nullable())) ?? [];
  const items: InventoryItem[] = [];
  // One by one: a request for all projects at once is refused to a client that may see only some.
  for (const project of projects) items.push(...(await projectInventory(ctx, lxd, project)));
  return items;
}

async function projectInventory(ctx: CallContext, lxd: LxdConnection, project: Project): Promise<InventoryItem[]> {
  const path = `/1.0/instances?recursion=1&project=${encodeURIComponent(project.name)}`;
  const instances = (await lxd.get(ctx, path, z.array(instanceSchema).nullable())) ?? [];
  const sizes = await allVolumeSizes(ctx, lxd, instances);
  return instances.map((instance) => {
    const facts = instanceFacts(instance, sizes);
    return {
      ...facts,
      externalId: project.name === defaultProject ? facts.externalId : `${project.name}/${facts.externalId}`,
      description: instance.description?.trim() || null,
      created: createdOf(instance),
      ownerGuess: ownerGuess(instance, project.config ?? {}),
    };
  });
}

/** LXD writes the zero time where it does not know. */
function createdOf({ created_at }: Instance): InventoryItem["created"] {
  const at = new Date(created_at ?? "");
  return Number.isNaN(at.getTime()) || at.getUTCFullYear() < 1971 ? null : { at: at.toISOString(), source: "created_at" };
}

function ownerGuess(instance: Instance, project: Record<string, string>): InventoryItem["ownerGuess"] {
  const fromInstance = ownerIn(instance.expanded_config);
  if (fromInstance !== null) return fromInstance;
  const fromProject = ownerIn(project);
  return fromProject === null ? null : { ...fromProject, source: `project ${fromProject.source}` };
}

export function ownerIn(config: Readonly<Record<string, string>>): InventoryItem["ownerGuess"] {
  const said = Object.entries(config).map(([source, value]) => ({
    source,
    word: peopleKey.exec(source)?.[1]?.toLowerCase().replaceAll("-", "_"),
    who: value.trim().slice(0, guessLimit),
  }));
  for (const word of ownerWords) {
    const match = said.find((entry) => entry.word === word && entry.who !== "");
    if (match !== undefined) return { who: match.who, source: match.source };
  }
  return null;
}
