/** Reads everything a process may look at, in one snapshot. */
import type { Offering } from "#domain/blueprint.ts";
import type { RenderedVapp } from "#domain/blueprint-render.ts";
import { tcgOverheadMiB } from "#domain/placement-candidate.ts";
import type { Drift } from "#domain/drift.ts";
import type { DesiredMachine, EndpointChoice, ImageChoice, MachineOfVapp, PlanFacts, VappOfPlan } from "#domain/plan.ts";
import type { EndpointDescription } from "#provider/contract.ts";
import type { Platform } from "#app/context.ts";
import { imageList, offeringById, offeringByName } from "#store/catalogue.ts";
import type { Database } from "#store/database.ts";
import { endpointList, siteList } from "#store/site.ts";
import { snapshotList } from "#store/snapshot.ts";
import { exposureList, machineList, segmentList, type VappRow } from "#store/vapp.ts";

/** `db` is the pool when planning and the order's transaction when ordering. */
export async function readPlanFacts(
  platform: Platform,
  db: Database,
  subject: { vapp: VappRow | null; offering: string | null },
): Promise<PlanFacts> {
  const offeringRow = subject.offering === null ? undefined : await offeringByName(db, subject.offering);
  const offering = (offeringRow?.document as unknown as Offering | undefined) ?? null;
  const [images, sites, endpoints] = [
    await readImages(db, offering !== null || subject.vapp !== null),
    await siteList(db),
    await readEndpoints(platform, db),
  ];
  return {
    vapp: subject.vapp === null ? null : await readVapp(db, subject.vapp),
    offering,
    images,
    sites: sites.map(({ id, name }) => ({ id, name })),
    endpoints,
  };
}

async function readImages(db: Database, wanted: boolean): Promise<ImageChoice[]> {
  if (!wanted) return [];
  const images = new Map<string, { name: string; variants: { format: "qcow2" | "lxd" | "sim"; digest: string; sizeBytes: number }[] }>();
  // All images, since an image's name may be an expression of a parameter.
  for (const row of await imageList(db)) {
    const image = images.get(row.name) ?? { name: row.name, variants: [] };
    image.variants.push({ format: row.format as "qcow2" | "lxd" | "sim", digest: row.digest, sizeBytes: row.size_bytes });
    images.set(row.name, image);
  }
  return [...images.values()];
}

/** Host memory a VM takes beyond its own when the CPU does the work; software emulation takes more. */
const kvmOverheadMiB = 150;

async function readEndpoints(platform: Platform, db: Database): Promise<EndpointChoice[]> {
  const rows = (await endpointList(db)).map((row) => {
    const description = row.description as unknown as EndpointDescription | null;
    const overheadMiBPerVm = description?.accelerator === "tcg" ? tcgOverheadMiB : kvmOverheadMiB;
    const usedMemoryMiB = Number(row.used_memory_mib) + Number(row.vm_count) * overheadMiBPerVm;
    return { row, description, overheadMiBPerVm, usedMemoryMiB, hostName: description?.host ?? row.name };
  });
  return rows.map(({ row, description, overheadMiBPerVm, hostName }) => {
    // Endpoints on one host share it: what any of them has promised is taken for all.
    const sharing = rows.filter((other) => other.row.site_id === row.site_id && other.hostName === hostName);
    const { machineKinds, imageFormats, liveResize, pause, snapshots, volumes } = platform.endpoints.providerOf(row).capabilities;
    return {
      id: row.id,
      name: row.name,
      siteId: row.site_id,
      hostName,
      provider: row.provider,
      machineKinds,
      imageFormats,
      liveResize,
      pause,
      snapshots,
      volumes,
      // Capacity of an endpoint nobody has looked at is unknown, so nothing is placed there.
      state: row.mode === "observe" ? "observed" : description === null ? "unreachable" : row.state,
      accelerator: description?.accelerator ?? "none",
      overheadMiBPerVm,
      vcpus: description?.vcpus ?? 0,
      memoryMiB: description?.memoryMiB ?? 0,
      usedVcpus: sharing.reduce((sum, other) => sum + Number(other.row.used_vcpus), 0),
      usedMemoryMiB: sharing.reduce((sum, other) => sum + other.usedMemoryMiB, 0),
    };
  });
}

async function readVapp(db: Database, vapp: VappRow): Promise<VappOfPlan> {
  const all = await machineList(db, [vapp.id]);
  const machines = all.filter((row) => row.desired !== "deleted" || vapp.desired === "deleted");
  const leaving = all.filter((row) => !machines.includes(row));
  const offering = await offeringById(db, vapp.offering_id);
  const names = new Map(all.map((machine) => [machine.id, machine.name]));
  const segments = await segmentList(db, [vapp.id]);
  const segmentNames = new Map(segments.map((segment) => [segment.id, segment.name]));
  const exposures = await exposureList(db, [vapp.id]);
  return {
    id: vapp.id,
    name: vapp.name,
    generation: vapp.generation,
    desired: vapp.desired,
    state: vapp.state,
    siteId: vapp.site_id,
    tiers: (vapp.blueprint as unknown as RenderedVapp).tiers.map(({ name, after }) => ({ name, after })),
    machines: machines.map(machineOfPlan),
    leaving: leaving.map(machineOfPlan),
    snapshots: (await snapshotList(db, [vapp.id])).map(({ id, name, state, machines: names }) => ({
      id,
      name,
      state,
      machines: names as unknown as string[],
    })),
    offering: offering!.document as unknown as Offering,
    parameters: vapp.parameters as VappOfPlan["parameters"],
    blueprint: vapp.blueprint as unknown as RenderedVapp,
    deleteAt: vapp.delete_at?.toISOString() ?? null,
    segments: segments.map(({ id, name, isolated, state }) => ({ id, name, isolated, state })),
    exposures: exposures.map((row) => ({
      id: row.id,
      name: row.name,
      machine: names.get(row.machine_id)!,
      segment: segmentNames.get(row.segment_id)!,
      port: row.target_port,
      state: row.state,
    })),
  };
}

function machineOfPlan(row: Awaited<ReturnType<typeof machineList>>[number]): MachineOfVapp {
  return {
    ...(row.spec as unknown as DesiredMachine),
    id: row.id,
    endpointName: row.endpoint_name,
    state: row.state,
    drift: (row.drift ?? []) as unknown as Drift[],
    hung: row.unhealthy_since !== null,
  };
}
