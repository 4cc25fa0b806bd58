/** Small files that others read while they are written: whole, or as they were before. */
import { renameSync, writeFileSync } from "node:fs";

/** Replaces the file at once. `mode` is that of the new file; default 0644. */
export function writeFileWhole(path: string, text: string, mode = 0o644): void {
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, text, { mode });
  renameSync(fresh, path);
}
