/** Snapshots of whole vApps: names and limits. */
export const snapshotNamePattern = /^[a-z][a-z0-9-]{0,31}$/;

/** Each costs disk and makes every later read a little longer. */
export const snapshotLimits = { perVapp: 16 } as const;
