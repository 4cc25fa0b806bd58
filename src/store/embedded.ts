/**
 * The PostgreSQL server that Stratiform brings along, for installations without `DATABASE_URL`.
 *
 * - It is detached: it survives the control plane, and the next start joins it.
 * - It never runs as root. When we are root it runs under a bare number, without a user on the host: initdb wants a name for its number
 *   and the data may lie below folders that only root may enter, so both see a private mount namespace in which the folder is at
 *   `/mnt/postgres` and /etc/passwd has one line more. Where namespaces are not permitted it runs as `nobody`.
 * - Its programs, data, socket, log and password (0600) lie in one folder; it listens on that socket and on 127.0.0.1 only.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type ListenOptions, type Server } from "node:net";
import { join } from "node:path";
import pg from "pg";
import { AppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";
import { findPostmaster, poll, type Postmaster, waitUntilGone, waitUntilUnused } from "#store/embedded-process.ts";
import { preparePostgresRuntime } from "#store/embedded-runtime.ts";

export interface EmbeddedPostgres {
  /** For `openDatabase` and the engine: loopback, role and database `stratiform`. Contains the password: never log it. */
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

const name = "stratiform";
/** No user of any distribution has this number (systemd's dynamic users end at 65519, static ones below 60000). */
const unprivilegedId = 65_530;
const nobodyId = 65_534;
const initTimeoutMs = 120_000;
const startTimeoutMs = 60_000;
const stopTimeoutMs = 30_000;
const unusedTimeoutMs = 15_000;
const startAttempts = 3;
const logTailChars = 2_000;

interface Layout {
  readonly folder: string;
  readonly runtime: string;
  readonly data: string;
  readonly password: string;
  readonly port: string;
  readonly log: string;
  /** The user the server runs as; null: ourselves. */
  readonly uid: number | null;
  readonly isIsolated: boolean;
}

/** Starts the server or joins the running one; initialises the folder on first use. Throws `unavailable` with the log's tail in `internal`. */
export async function startEmbeddedPostgres(options: EmbeddedOptions): Promise<EmbeddedPostgres> {
  const { folder } = options;
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
    ...(await chooseUser(options, data)),
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
  await ensureDatabase(postmaster.port, password);
  return {
    url: urlOf(postmaster.port, password, name),
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

function urlOf(port: number, password: string, database: string): string {
  return `postgresql://${name}:${password}@127.0.0.1:${port}/${database}`;
}

async function chooseUser(options: EmbeddedOptions, data: string): Promise<{ uid: number | null; isIsolated: boolean }> {
  if (process.getuid?.() !== 0) return { uid: null, isIsolated: false };
  const owner = await stat(data).then(
    (found) => found.uid,
    () => undefined,
  );
  const isPermitted = async () =>
    await exec("unshare", ["--mount", "true"]).then(
      () => true,
      () => false,
    );
  const isIsolated = options.isolate !== false && (await isPermitted());
  return { uid: owner ?? (isIsolated ? unprivilegedId : nobodyId), isIsolated };
}

/** The same file as the server sees it. */
function seen(layout: Layout, path: string): string {
  return layout.isIsolated ? path.replace(layout.folder, "/mnt/postgres") : path;
}

/** Runs inside the namespace: $1 folder, $2 uid, the rest is the command. tmpfs on /mnt hides nothing outside. */
const enterScript = `set -e
folder=$1; uid=$2; shift 2
mount -t tmpfs -o mode=0755 tmpfs /mnt
mkdir /mnt/postgres
mount --bind "$folder" /mnt/postgres
{ cat /etc/passwd; echo "stratiform-postgres:x:$uid:$uid::/:/bin/false"; } > /mnt/passwd
mount --bind /mnt/passwd /etc/passwd
cd /
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$@"`;

function command(layout: Layout, argv: readonly string[]): readonly [string, readonly string[]] {
  const [file = "", ...rest] = argv;
  if (layout.uid === null) return [file, rest];
  const uid = String(layout.uid);
  if (layout.isIsolated) return ["unshare", ["--mount", "--", "/bin/sh", "-c", enterScript, "sh", layout.folder, uid, ...argv]];
  return ["setpriv", ["--reuid", uid, "--regid", uid, "--clear-groups", "--", ...argv]];
}

/** Makes password and data folder. A half-made data folder of a crash is under another name and made anew. */
async function initialise(layout: Layout): Promise<void> {
  if (layout.uid !== null) await chown(layout.folder, layout.uid, layout.uid);
  await chmod(layout.folder, 0o700);
  if (
    await stat(join(layout.data, "PG_VERSION")).then(
      () => true,
      () => false,
    )
  )
    return;
  const fresh = join(layout.folder, "data.new");
  await rm(fresh, { recursive: true, force: true });
  await writeFile(layout.password, randomBytes(24).toString("base64url"), { mode: 0o600 });
  if (layout.uid !== null) await chown(layout.password, layout.uid, layout.uid);
  const initdb = join(layout.runtime, "bin", "initdb");
  const where = ["-D", seen(layout, fresh), "--pwfile", seen(layout, layout.password)];
  const how = [
    "-U",
    name,
    "-A",
    "scram-sha-256",
    "-E",
    "UTF8",
    "--locale-provider=builtin",
    "--locale=C",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
  ];
  const [file, args] = command(layout, [seen(layout, initdb), ...where, ...how]);
  await exec(file, args, { timeoutMs: initTimeoutMs, cwd: "/" });
  await rename(fresh, layout.data);
}

async function start(layout: Layout, settings: Readonly<Record<string, string>>): Promise<Postmaster> {
  if (!(await waitUntilUnused(layout.data, unusedTimeoutMs))) {
    throw new AppError("unavailable", "Processes of an earlier database server are still running", { internal: layout.data });
  }
  // Nobody works in the folder, so the file is of a server that was killed; its pid may meanwhile belong to somebody else.
  await rm(join(layout.data, "postmaster.pid"), { force: true });
  for (let attempt = 1; ; attempt++) {
    const port = await choosePort(layout, attempt);
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

/** The port of last time when it is free, so that URLs in people's shells stay valid. */
async function choosePort(layout: Layout, attempt: number): Promise<number> {
  const last = Number(await readFile(layout.port, "utf8").catch(() => "0"));
  const port = (attempt === 1 && last > 0 && (await freePort(last))) || (await freePort(0));
  if (port === undefined) throw new AppError("unavailable", "There is no free port on 127.0.0.1");
  await writeFile(layout.port, String(port));
  return port;
}

async function freePort(wanted: number): Promise<number | undefined> {
  const server = await listenOn({ port: wanted, host: "127.0.0.1" });
  const address = server?.address();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  return typeof address === "object" && address !== null ? address.port : undefined;
}

/** Undefined when the address is taken. */
function listenOn(address: ListenOptions): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(undefined));
    server.listen(address, () => resolve(server));
  });
}

async function launch(layout: Layout, port: number, settings: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const all: Readonly<Record<string, string>> = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: seen(layout, layout.folder),
    unix_socket_permissions: "0700",
    max_connections: "200",
    timezone: "UTC",
    log_timezone: "UTC",
    ...settings,
  };
  const argv = [seen(layout, join(layout.runtime, "bin", "postgres")), "-D", seen(layout, layout.data)];
  for (const [key, value] of Object.entries(all)) argv.push("-c", `${key}=${value}`);
  const [file, args] = command(layout, argv);
  const log = await open(layout.log, "a", 0o600);
  try {
    // Its own session: signals to our process group, a closed terminal or our death do not reach it.
    return spawn(file, args, {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      cwd: "/",
      env: { PATH: process.env["PATH"], LANG: "C" },
    });
  } finally {
    await log.close();
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

async function ensureDatabase(port: number, password: string): Promise<void> {
  const client = new pg.Client({ connectionString: urlOf(port, password, "postgres") });
  await client.connect();
  try {
    const found = await client.query("select from pg_database where datname = $1", [name]);
    if (found.rowCount === 0) await client.query(`create database ${name}`);
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
