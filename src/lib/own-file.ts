/** Files that come along with this code: programs it starts, scripts, recipes. The same calls work on the sources and on a built copy. */
import { fileURLToPath } from "node:url";

/** Folder `src` of a clone, or of a built copy, where every `.ts` became `.js`. */
const source = new URL("..", import.meta.url);
const extension = import.meta.url.endsWith(".js") ? ".js" : ".ts";

/** Absolute path of a program below `src`, named without its extension: `agent/relay`. */
export function ownProgram(name: string): string {
  return fileURLToPath(new URL(`${name}${extension}`, source));
}

/** Absolute path of any other file or folder, named from the top of the package: `offerings`, `src/agent/site-holder.sh`. */
export function ownFile(path: string): string {
  return fileURLToPath(new URL(`../${path}`, source));
}
