/** The start sequence of tiers, from what each of them starts after. Pure. */
import { AppError } from "#domain/error.ts";

/** What the sequence needs to know of a tier. */
export interface Starting {
  readonly after: readonly string[];
}

/**
 * Waves of tiers: those of one wave may start at the same time, after all waves before. `after` names tiers of the same record. Throws
 * `invalid_input` on a cycle, naming it; `source` names the offering.
 */
export function startSequence(tiers: Readonly<Record<string, Starting>>, source: string): string[][] {
  const waves: string[][] = [];
  const done = new Set<string>();
  let rest = Object.keys(tiers);
  while (rest.length > 0) {
    const wave = rest.filter((name) => tiers[name]!.after.every((other) => done.has(other)));
    if (wave.length === 0) throw circular(cycleIn(tiers, rest), source);
    for (const name of wave) done.add(name);
    waves.push(wave);
    rest = rest.filter((name) => !done.has(name));
  }
  return waves;
}

function circular(cycle: readonly string[], source: string): AppError {
  const constraint = `tiers start after each other in a circle: ${cycle.join(" after ")}`;
  const nearest = `remove "${cycle[1]}" from the after of "${cycle[0]}"`;
  return new AppError("invalid_input", `${source} is refused: ${constraint}`, {
    detail: [{ constraint, source: `${source}, vapp.tiers`, nearest }],
  });
}

/** Follows `after` inside the unstartable rest until a tier comes again. */
function cycleIn(tiers: Readonly<Record<string, Starting>>, rest: readonly string[]): string[] {
  const path: string[] = [];
  let name = rest[0]!;
  while (!path.includes(name)) {
    path.push(name);
    name = tiers[name]!.after.find((other) => rest.includes(other))!;
  }
  return [...path.slice(path.indexOf(name)), name];
}
