/** What executors look up: rows of this vApp by name, with the marks and refs the endpoints know them by. */
import { AppError } from "#domain/error.ts";
import type { OwnerMark } from "#domain/owner.ts";
import type { SegmentRef } from "#fabric/contract.ts";
import type { MachineRef } from "#provider/contract.ts";
import type { Platform } from "#app/context.ts";
import {
  exposureList,
  machineByName,
  segmentList,
  vappById,
  type ExposureRow,
  type MachineRow,
  type SegmentRow,
  type VappRow,
} from "#store/vapp.ts";

export async function theVapp(platform: Platform, vappId: string): Promise<VappRow> {
  const row = await vappById(platform.database, vappId);
  if (row === undefined) throw new AppError("not_found", "the vApp is gone", { internal: vappId });
  return row;
}

/** Null once the machine was released: there is nothing left to do for it. */
export async function findMachine(platform: Platform, vappId: string, name: string): Promise<MachineRow | null> {
  return (await machineByName(platform.database, vappId, name)) ?? null;
}

export async function theMachine(platform: Platform, vappId: string, name: string): Promise<MachineRow> {
  const row = await findMachine(platform, vappId, name);
  if (row === null) throw new AppError("not_found", `the vApp has no machine ${name}`);
  return row;
}

export async function findSegment(platform: Platform, vappId: string, name: string): Promise<SegmentRow | null> {
  return (await segmentList(platform.database, [vappId])).find((row) => row.name === name) ?? null;
}

export async function theSegment(platform: Platform, vappId: string, name: string): Promise<SegmentRow> {
  const row = await findSegment(platform, vappId, name);
  if (row === null) throw new AppError("not_found", `the vApp has no segment ${name}`);
  return row;
}

export async function findExposure(platform: Platform, vappId: string, name: string): Promise<ExposureRow | null> {
  return (await exposureList(platform.database, [vappId])).find((row) => row.name === name) ?? null;
}

export function ownerOf(platform: Platform, vappId: string, objectId: string): OwnerMark {
  return { installation: platform.installationId, vapp: vappId, object: objectId };
}

export function machineRef(platform: Platform, row: MachineRow): MachineRef {
  return { name: row.external_name, owner: ownerOf(platform, row.vapp_id, row.id) };
}

export function segmentRef(platform: Platform, row: SegmentRow): SegmentRef {
  return { name: row.external_name, owner: ownerOf(platform, row.vapp_id, row.id) };
}
