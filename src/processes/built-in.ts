/** The processes that come along. Every one can be replaced by an operator's own of the same name. */
import type { ProcessDefinition } from "#process/contract.ts";
import { deleteVapp } from "#processes/delete.ts";
import { deploy } from "#processes/deploy.ts";
import { purge } from "#processes/purge.ts";
import { reconfigure } from "#processes/reconfigure.ts";
import { repair } from "#processes/repair.ts";
import { resize } from "#processes/resize.ts";
import { restart } from "#processes/restart.ts";
import { restore } from "#processes/restore.ts";
import { revert } from "#processes/revert.ts";
import { scale } from "#processes/scale.ts";
import { snapshot } from "#processes/snapshot.ts";
import { snapshotDelete } from "#processes/snapshot-delete.ts";
import { start } from "#processes/start.ts";
import { stop } from "#processes/stop.ts";
import { volumeGrow } from "#processes/volume-grow.ts";

export const builtInProcesses = [
  deploy,
  deleteVapp,
  restore,
  purge,
  start,
  stop,
  restart,
  scale,
  resize,
  reconfigure,
  volumeGrow,
  snapshot,
  snapshotDelete,
  revert,
  repair,
] as readonly ProcessDefinition<unknown>[];
