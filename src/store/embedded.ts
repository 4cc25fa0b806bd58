/**
 * The PostgreSQL server that Stratiform brings along, for installations without `DATABASE_URL`.
 *
 * - It is detached: it survives the control plane, and the next start joins it.
 * - It never runs as root. When we are root it runs under a bare number, without a user on the host: initdb wants a name for its number
 *   and the data may lie below folders that only root may enter, so both see a private mount namespace in which the folder is at
 *   `/mnt/postgres` and /etc/passwd has one line more. Where namespaces are not permitted it runs as `nobody`.
 * - Its programs, data, socket, log and password (0600) lie in one folder; it listens on that socket and on 127.0.0.1 only.
 */
import type { ChildProcess } from "node:child_process";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import type { Server } from "node:net";
import { join, resolve } from "node:path";
import pg from "pg";
import { AppError } from "#domain/error.ts";
import { choosePort, chooseUser, databaseName, initialise, launch, type Layout, listenOn } from "#store/embedded-launch.ts";
import { findPostmaster, poll, type Postmaster, waitUntilGone, waitUntilUnused } from "#store/embedded-process.ts";
import { preparePostgresRuntime } from "#store/embedded-runtime.ts";

export interface EmbeddedPostgres {
  /** For `openDatabase` and the engine: role and database `stratiform`, by socket (by loopback when its path is too long). Contains the password: never log it. */
  readonly url: string;
  readonly pid: number;
  readonly port: number;
  readonly socketDirectory: string;
  /** True when an earlier control plane had left it running. */
  readonly joined: boolean;
  /** Fast shutdown: open transactions are rolled back, everything committed is on disk. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Everything lies here, usually `<home>/postgres`. */
  readonly folder: string;
  /** Server settings besides ours, e.g. `{ fsync: "off" }` for tests. */
  readonly settings?: Readonly<Record<string, string>>;
  /** False: as root, run as `nobody` instead of in a mount namespace. */
  readonly isolate?: boolean;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 30_000;
const unusedTimeoutMs = 15_000;
const startAttempts = 3;
const logTailChars = 2_000;
/** A socket's name has 107 characters, the file in the folder takes up to 15. */
const socketFolderChars = 90;

/** Starts the server or joins the running one; initialises the folder on first use. Throws `unavailable` with the log's tail in `internal`. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const folder = resolve(options.folder);
  await mkdir(folder, { recursive: true });
  const runtime = (await preparePostgresRuntime(folder)).path;
  const data = join(folder, "data");
  const layout: Layout = {
    folder,
    runtime,
    data,
    password: join(folder, "password"),
    port: join(folder, "port"),
    log: join(folder, "log"),
    ...(await chooseUser(data, options.isolate !== false)),
  };
  const { running, postmaster } = await oneAtATime(folder, async () => {
    await initialise(layout);
    const found = await findPostmaster(data);
    return {
      running: found,
      postmaster: found === undefined ? await start(layout, options.settings ?? {}) : await waitUntilReady(layout, undefined),
    };
  });
  const password = (await readFile(layout.password, "utf8")).trim();
  await ensureDatabase(folder, postmaster.port, password);
  return {
    url: urlOf(folder, postmaster.port, password, databaseName),
    pid: postmaster.pid,
    port: postmaster.port,
    socketDirectory: folder,
    joined: running !== undefined,
    stop: () => stop(data),
  };
}

/** Stops the server of a folder when it runs; for clean-up after a control plane that was killed. */
export function stopEmbeddedPostgres(folder: string): Promise<void> {
  return stop(join(folder, "data"));
}

/**
 * Two starts at once would remove each other's postmaster.pid. The lock is a socket name without a file: the kernel frees it with its
 * holder, however that ends.
 */
async function oneAtATime<T>(folder: string, body: () => Promise<T>): Promise<T> {
  const { dev, ino } = await stat(folder);
  let lock: Server | undefined;
  const isMine = await poll(
    startTimeoutMs,
    async () => (lock = await listenOn({ path: `\0stratiform-postgres-${dev}-${ino}` })) !== undefined,
  );
  if (!isMine) throw new AppError("unavailable", "Another start of the database server does not end");
  try {
    return await body();
  } finally {
    lock?.close();
  }
}

/** By the socket, which costs about half of what loopback costs; by loopback where the path is too long for a socket's name. */
function urlOf(folder: string, port: number, password: string, database: string): string {
  const url = `postgresql://${databaseName}:${password}@127.0.0.1:${port}/${database}`;
  return folder.length > socketFolderChars ? url : `${url}?host=${encodeURIComponent(folder)}`;
}

async function start(layout: Layout, settings: Readonly<Record<string, string>>): Promise<Postmaster> {
  if (!(await waitUntilUnused(layout.data, unusedTimeoutMs))) {
    throw new AppError("unavailable", "Processes of an earlier database server are still running", { internal: layout.data });
  }
  // Nobody works in the folder, so the file is of a server that was killed; its pid may meanwhile belong to somebody else.
  await rm(join(layout.data, "postmaster.pid"), { force: true });
  for (let attempt = 1; ; attempt++) {
    const port = await choosePort(layout, attempt === 1);
    const child = await launch(layout, port, settings);
    try {
      return await waitUntilReady(layout, child);
    } catch (error) {
      if (attempt === startAttempts) throw error;
    } finally {
      child.removeAllListeners();
      child.unref();
    }
  }
}

async function waitUntilReady(layout: Layout, child: ChildProcess | undefined): Promise<Postmaster> {
  let postmaster: Postmaster | undefined;
  let hasExited = false;
  child?.on("exit", () => (hasExited = true));
  child?.on("error", () => (hasExited = true));
  await poll(startTimeoutMs, async () => {
    postmaster = await findPostmaster(layout.data);
    return postmaster?.isReady === true || hasExited;
  });
  if (postmaster?.isReady === true) return postmaster;
  const tail = (await readFile(layout.log, "utf8").catch(() => "")).slice(-logTailChars);
  throw new AppError("unavailable", "The database server did not start", { internal: tail });
}

async function ensureDatabase(folder: string, port: number, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(folder, port, password, "postgres") });
  await client.connect();
  try {
    const found = await client.query("select from pg_database where datname = $1", [databaseName]);
    if (found.rowCount === 0) await client.query(`create database ${databaseName}`);
  } finally {
    await client.end();
  }
}

async function stop(data: string): Promise<void> {
  const postmaster = await findPostmaster(data);
  if (postmaster === undefined) return;
  process.kill(postmaster.pid, "SIGINT");
  if (await waitUntilGone(postmaster.pid, data, stopTimeoutMs)) return;
  throw new AppError("timeout", "The database server did not stop in time", { internal: `pid ${postmaster.pid}` });
}
