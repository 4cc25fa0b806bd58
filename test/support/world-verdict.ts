/**
 * The verdict on the world: what really is at the endpoints, held against what the tables say. It uses neither our API nor our own
 * queries, so that a defect there cannot hide itself. An empty list means that everything is as it must be when no run is under way.
 */
import type { SimDump } from "#providers/sim/control.ts";
import type { Sql } from "./sql.ts";

export interface SeenObject {
  readonly noun: "machine" | "segment" | "exposure";
  /** Where; "" for objects of the fabric. */
  readonly endpoint: string;
  readonly name: string;
  readonly owner: { readonly installation: string; readonly vapp: string; readonly object: string } | null;
  /** Of machines. */
  readonly power?: string;
  /** Of machines: `mac attachment`, sorted. Undefined where the endpoint does not show it. */
  readonly nics?: readonly string[];
  /** Of machines: `2 vCPU 512 MiB`. Undefined where the endpoint does not show it. */
  readonly size?: string;
  /** Of machines: `name 1024 MiB`, sorted. Undefined where the endpoint does not show it. */
  readonly volumes?: readonly string[];
  /** Of machines: names at the endpoint, sorted. Undefined where the endpoint does not show it. */
  readonly snapshots?: readonly string[];
  /** Of machines: whether their context was applied since they started. Undefined where only the guest knows. */
  readonly configured?: boolean;
  /** Of exposures. */
  readonly port?: number;
}

/** What a vApp must look like. `owned`: a run stopped in the middle; everything there is must still be ours and nothing else counts. */
export type Expected = "running" | "stopped" | "gone" | "owned";

export function seenInSim(dump: SimDump): SeenObject[] {
  const machines = Object.entries(dump.endpoints).flatMap(([endpoint, { machines: there }]) =>
    there.map(({ name, owner, power, nics, contextDigest, vcpus, memoryMiB, volumes, snapshots }): SeenObject => ({
      noun: "machine",
      endpoint,
      name,
      owner,
      power,
      nics: nics.map(({ mac, attachment }) => `${mac} ${attachment}`).sort(),
      size: `${vcpus} vCPU ${memoryMiB} MiB`,
      volumes: volumes.map((volume) => `${volume.name} ${volume.sizeMiB} MiB`).sort(),
      snapshots: snapshots.map((snapshot) => snapshot.name).sort(),
      configured: contextDigest !== null,
    })),
  );
  const segments = dump.segments.map(({ name, owner }): SeenObject => ({ noun: "segment", endpoint: "", name, owner }));
  const exposures = dump.exposures.map(({ name, owner, port }): SeenObject => ({ noun: "exposure", endpoint: "", name, owner, port }));
  return [...machines, ...segments, ...exposures];
}

interface Row {
  readonly noun: SeenObject["noun"];
  readonly id: string;
  readonly vapp_id: string;
  readonly endpoint: string;
  readonly name: string;
  readonly external_name: string;
  readonly state: string;
  /** Of machines. */
  readonly desired: string | null;
  readonly released: boolean;
  readonly port: number | null;
  readonly nics: string[];
  /** Of machines. */
  readonly size: string | null;
  readonly volumes: string[];
  readonly snapshots: string[];
  /** Whether a size is still on its way. */
  readonly changing: boolean;
  /** Of machines: what is known to differ from the specification. */
  readonly drift: string[];
  readonly last_ledger: string | null;
}

interface Vapp {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly desired: string;
  readonly run_id: string | null;
  readonly event_seq: number;
  readonly secrets: number;
  readonly deleted: boolean;
}

/** `expected`: by the vApp's name; a vApp that is not named must only be consistent in itself. */
export async function worldProblems(
  sql: Sql,
  seen: readonly SeenObject[],
  expected: Readonly<Record<string, Expected>> = {},
): Promise<string[]> {
  const rows = await readRows(sql);
  const vapps = await readVapps(sql);
  const [installation] = await sql<{ id: string }>(`select id from installation`);
  const problems = [...ownedProblems(installation!.id, seen, rows)];
  for (const name of Object.keys(expected))
    if (!vapps.some((vapp) => vapp.name === name)) problems.push(`vApp ${name} is not known at all`);
  for (const vapp of vapps) {
    const own = rows.filter((row) => row.vapp_id === vapp.id);
    const there = seen.filter((object) => object.owner?.vapp === vapp.id);
    const found = [...stateProblems(vapp, own, expected[vapp.name]), ...objectProblems(vapp, own, there), ...ledgerProblems(own)];
    problems.push(...found.map((problem) => `${vapp.name} (${vapp.state}): ${problem}`));
  }
  return [...problems, ...(await quotaProblems(sql)), ...(await tableProblems(sql))];
}

async function readRows(sql: Sql): Promise<Row[]> {
  return sql<Row>(`
    with last_entry as (select distinct on (resource_id) resource_id, state from ledger order by resource_id, seq desc)
    select 'machine' as noun, m.id, m.vapp_id, e.name as endpoint, m.name, m.external_name, m.state, m.desired,
           m.released_at is not null as released,
           null::int as port, l.state as last_ledger,
           coalesce((select array_agg(a.mac || ' ' || s.attachment order by a.mac || ' ' || s.attachment)
                     from address a join segment s on s.id = a.segment_id where a.machine_id = m.id), '{}') as nics,
           (m.spec->>'vcpus') || ' vCPU ' || (m.spec->>'memoryMiB') || ' MiB' as size,
           array(select (v->>'name') || ' ' || (v->>'sizeMiB') || ' MiB' from jsonb_array_elements(m.spec->'volumes') v order by 1) as volumes,
           array(select s.external_name from snapshot s where s.vapp_id = m.vapp_id and s.released_at is null and s.state = 'realised'
                 and s.machines ? m.name order by 1) as snapshots,
           m.wanted is not null as changing,
           array(select d->>'name' from jsonb_array_elements(coalesce(m.drift, '[]')) d) as drift
      from machine m join endpoint e on e.id = m.endpoint_id left join last_entry l on l.resource_id = m.id
    union all
    select 'segment', s.id, s.vapp_id, '', s.name, s.external_name, s.state, null, s.released_at is not null, null, null, '{}',
           null, '{}', '{}', false, '{}' from segment s
    union all
    select 'exposure', x.id, x.vapp_id, '', x.name, x.external_name, x.state, null, x.released_at is not null, x.port, l.state, '{}',
           null, '{}', '{}', false, '{}'
      from exposure x left join last_entry l on l.resource_id = x.id`);
}

async function readVapps(sql: Sql): Promise<Vapp[]> {
  return sql<Vapp>(`
    select v.id, v.name, v.state, v.desired, v.run_id, v.event_seq, v.deleted_at is not null as deleted,
           (select count(*)::int from secret s where s.vapp_id = v.id) as secrets
    from vapp v order by v.created_at`);
}

/** Everything with our mark has a living row of the same name at the same place; nothing is there twice. */
function ownedProblems(installation: string, seen: readonly SeenObject[], rows: readonly Row[]): string[] {
  const byId = new Map(rows.map((row) => [row.id, row]));
  const objects = new Set<string>();
  return seen.flatMap(({ noun, endpoint, name, owner }) => {
    if (owner === null) return [];
    const what = `${noun} ${name}${endpoint === "" ? "" : ` at ${endpoint}`}`;
    if (owner.installation !== installation) return [`${what} carries the mark of another installation`];
    const row = byId.get(owner.object);
    if (row === undefined) return [`${what} carries our mark and no row knows it`];
    const found: string[] = [];
    if (objects.has(owner.object)) found.push(`${what} is there twice`);
    objects.add(owner.object);
    if (row.released) found.push(`${what} is there and its row is released`);
    if (row.noun !== noun || row.external_name !== name || row.endpoint !== endpoint || row.vapp_id !== owner.vapp) {
      found.push(`${what} is not where and what its row says: ${row.noun} ${row.external_name} at ${row.endpoint}`);
    }
    return found;
  });
}

function stateProblems(vapp: Vapp, rows: readonly Row[], expected: Expected | undefined): string[] {
  const problems: string[] = [];
  if (vapp.run_id !== null) problems.push(`its lock is still held by run ${vapp.run_id}`);
  const living = rows.filter(({ released }) => !released);
  if (vapp.deleted) {
    if (living.length > 0)
      problems.push(`it is deleted and has living rows: ${living.map(({ noun, name }) => `${noun} ${name}`).join(", ")}`);
    if (vapp.secrets > 0) problems.push("it is deleted and its secrets are still there");
    if (rows.some(({ nics }) => nics.length > 0)) problems.push("it is deleted and still holds addresses");
  }
  if (expected === undefined) return problems;
  const is = vapp.deleted ? "gone" : vapp.state === "active" ? "running" : vapp.state;
  if (expected !== "owned" && is !== expected) problems.push(`it should be ${expected}`);
  if (expected === "running" && rows.some((row) => row.noun === "machine" && !row.released && row.state !== "running")) {
    problems.push("not all of its machines are known to run");
  }
  return problems;
}

/** A run that stopped in the middle may have done more than it could write down; for all others rows and objects are the same. */
function objectProblems(vapp: Vapp, rows: readonly Row[], seen: readonly SeenObject[]): string[] {
  if (vapp.state === "failed" || vapp.run_id !== null) return [];
  const problems: string[] = [];
  for (const row of rows) {
    const object = seen.find(({ owner }) => owner?.object === row.id);
    const what = `${row.noun} ${row.name}`;
    const isThere = !row.released && !["planned", "removed", "deleted", "missing"].includes(row.state);
    if (isThere !== (object !== undefined))
      problems.push(`${what} is ${row.state}${row.released ? ", released" : ""} and ${isThere ? "not there" : "there"}`);
    if (!isThere || object === undefined) continue;
    if (row.noun === "machine" && object.power !== row.state) problems.push(`${what} is known as ${row.state} and is ${object.power}`);
    problems.push(...(row.noun === "machine" ? shapeProblems(row, object).map((problem) => `${what} ${problem}`) : []));
    if (row.noun === "exposure" && object.port !== row.port) problems.push(`${what} is at port ${object.port}, not ${row.port}`);
    if (vapp.state === "active" && object.configured === false) problems.push(`${what} runs without its configuration`);
  }
  return problems;
}

/** A machine is what its row says, but for what is known to differ. Snapshots of a vApp are of all its machines. */
function shapeProblems(row: Row, object: SeenObject): string[] {
  const problems: string[] = [];
  const differs = (names: readonly string[], noun: string, is: readonly string[] | undefined, wanted: readonly string[]) => {
    if (is === undefined || is.join() === wanted.toSorted().join() || names.some((name) => row.drift.includes(name))) return;
    problems.push(`has ${noun} ${is.join()}, not ${wanted.join()}`);
  };
  differs(["nics"], "NICs", object.nics, row.nics);
  differs(["volumes"], "volumes", object.volumes, row.volumes);
  differs([], "snapshots", object.snapshots, row.snapshots);
  differs(["vcpus", "memoryMiB"], "size", object.size === undefined ? undefined : [object.size], [row.size ?? ""]);
  if (row.changing) problems.push("still waits for another size, and no order is in flight");
  return problems;
}

/** The last entry of a resource says what it is: nobody pays for what is gone, and nothing runs for free. */
function ledgerProblems(rows: readonly Row[]): string[] {
  return rows.flatMap((row) => {
    if (row.noun === "segment") return [];
    const wanted = wantedLedger(row);
    const is = row.last_ledger ?? "none";
    return wanted.includes(is)
      ? []
      : [`the ledger's last entry of ${row.noun} ${row.name} (${row.state}) is ${is}, not ${wanted.join(" or ")}`];
  });
}

function wantedLedger(row: Row): string[] {
  if (row.released || row.state === "removed" || row.state === "deleted") return ["none", "released"];
  // Charging ends when the stop or delete is accepted, however long it then takes.
  if (row.state === "running") return [row.desired === "running" ? "running" : "stopped"];
  if (row.state === "realised") return ["running"];
  return ["none", "stopped"];
}

/** I1: the balance is the sum of what lives. */
export async function quotaProblems(sql: Sql): Promise<string[]> {
  const rows = await sql<{ dimension: string; used: string; living: string }>(`
    with living as (
      select v.project_id, 'machines' as dimension, 1::bigint as amount from machine m join vapp v on v.id = m.vapp_id where m.released_at is null
      union all select v.project_id, 'vcpus', m.vcpus from machine m join vapp v on v.id = m.vapp_id where m.released_at is null
      union all select v.project_id, 'memoryMiB', m.memory_mib from machine m join vapp v on v.id = m.vapp_id where m.released_at is null
      union all select v.project_id, 'segments', 1 from segment s join vapp v on v.id = s.vapp_id where s.released_at is null
      union all select v.project_id, 'exposures', 1 from exposure x join vapp v on v.id = x.vapp_id where x.released_at is null)
    select q.dimension, q.used::text as used, coalesce(sum(l.amount), 0)::text as living
    from quota_balance q left join living l on l.project_id = q.project_id and l.dimension = q.dimension
    group by q.project_id, q.dimension, q.used`);
  return rows
    .filter(({ used, living }) => used !== living)
    .map(({ dimension, used, living }) => `quota: ${used} ${dimension} are taken and ${living} live`);
}

/** Rules of single tables that no constraint of the schema enforces. */
async function tableProblems(sql: Sql): Promise<string[]> {
  const rules: Readonly<Record<string, string>> = {
    "a run has ended and its order has not, or the other way round": `select r.id::text as what from run r join "order" o on o.run_id = r.id
      where (r.finished_at is null) <> (o.finished_at is null) or (r.finished_at is not null and r.state <> o.state)`,
    "a ledger repeats a state": `select name as what from (select name, state, size, lag(state) over w as before, lag(size) over w as size_before
      from ledger window w as (partition by resource_id order by seq)) l where state = before and size = size_before`,
    "a vApp's events have gaps": `select v.name as what from vapp v left join event e on e.vapp_id = v.id
      group by v.id having count(e.seq) <> v.event_seq or coalesce(max(e.seq), 0) <> v.event_seq`,
    "an order was accepted while another one changed the vApp": `select v.name as what from event a join event b on b.vapp_id = a.vapp_id and b.seq > a.seq
      join vapp v on v.id = a.vapp_id
      where a.type = 'order.accepted' and b.type = 'order.accepted' and b.data->>'action' <> 'purge'
        and not exists (select 1 from event e where e.vapp_id = a.vapp_id and e.seq < b.seq and e.subject = a.data->>'run'
          and e.type in ('run.succeeded', 'run.compensated', 'run.failed'))`,
    "a vApp without an order in flight still remembers what was before one": `select name as what from vapp
      where run_id is null and before is not null and state <> 'failed'`,
    "a snapshot was never taken and no order is in flight": `select v.name || ' ' || s.name as what from snapshot s join vapp v on v.id = s.vapp_id
      where s.released_at is null and v.run_id is null and v.state <> 'failed' and (s.state <> 'realised' or s.taken_at is null)`,
    "a machine that is gone still has facts": `select f.subject_id::text as what from fact f join machine m on m.id = f.subject_id where m.released_at is not null`,
  };
  const problems = await Promise.all(
    Object.entries(rules).map(async ([rule, text]) => (await sql<{ what: string }>(text)).map(({ what }) => `${rule}: ${what}`)),
  );
  return problems.flat();
}
