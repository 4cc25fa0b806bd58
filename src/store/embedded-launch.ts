/** How the bundled PostgreSQL is initialised and launched: as which user, in which namespace, with which settings and port. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmod, chown, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer, type ListenOptions, type Server } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { AppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";

/** Role and database. */
export const databaseName = "stratiform";
/** No user of any distribution has this number (systemd's dynamic users end at 65519, static ones below 60000). */
const unprivilegedId = 65_530;
const nobodyId = 65_534;
const initTimeoutMs = 120_000;

export interface Layout {
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

export async function chooseUser(data: string, mayIsolate: boolean): Promise<{ uid: number | null; isIsolated: boolean }> {
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
  const isIsolated = mayIsolate && (await isPermitted());
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

function hasName(): boolean {
  try {
    return userInfo().username !== "";
  } catch {
    return false;
  }
}

function command(layout: Layout, argv: readonly string[]): readonly [string, readonly string[]] {
  const [file = "", ...rest] = argv;
  // The server insists on a name for its user id. An id without one, as container hosts give, is seen as `nobody` in a namespace.
  if (layout.uid === null)
    return hasName() ? [file, rest] : ["unshare", ["--user", `--map-user=${nobodyId}`, `--map-group=${nobodyId}`, "--", ...argv]];
  const uid = String(layout.uid);
  if (layout.isIsolated) return ["unshare", ["--mount", "--", "/bin/sh", "-c", enterScript, "sh", layout.folder, uid, ...argv]];
  return ["setpriv", ["--reuid", uid, "--regid", uid, "--clear-groups", "--", ...argv]];
}

/** Makes password and data folder. A half-made data folder of a crash is under another name and made anew. */
export async function initialise(layout: Layout): Promise<void> {
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
    databaseName,
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

/** The port of last time when it is free, so that URLs in people's shells stay valid. */
export async function choosePort(layout: Layout, preferLast: boolean): Promise<number> {
  const last = Number(await readFile(layout.port, "utf8").catch(() => "0"));
  const port = (preferLast && last > 0 && (await freePort(last))) || (await freePort(0));
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
export function listenOn(address: ListenOptions): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(undefined));
    server.listen(address, () => resolve(server));
  });
}

export async function launch(layout: Layout, port: number, settings: Readonly<Record<string, string>>): Promise<ChildProcess> {
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
