/** Names under which runs are stored in DBOS. They outlive releases: change `engineProtocol` when the meaning of stored runs changes. */

/**
 * Pinned as DBOS's application version. By default that is a hash of the workflow's source, and then every upgrade strands the runs
 * that are pending.
 */
export const engineProtocol = "1";
export const workflowName = "stratiform.run";
export const queueName = "run";
export const dataSourceName = "stratiform";

/** Segment 1 has the id of the run; each wait that is woken continues in the next segment. */
export function workflowIdOf(runId: string, segment: number): string {
  return segment === 1 ? runId : `${runId}:${segment}`;
}

/** The run a workflow belongs to. */
export function runIdOf(workflowId: string): string {
  return workflowId.split(":")[0]!;
}
