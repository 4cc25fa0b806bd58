/**
 * A real HAProxy (Debian's package, unpacked, not installed) with real web servers behind it, in a network namespace of its own.
 *
 *     const world = await startHaproxyWorld();
 *     const web0 = await world.memberStart("web-0");          // a web server on an address of its own
 *     await world.haproxyStart([web0]);                       // with the configuration file an image's hook would write
 *     haproxyFactory.open(world.access, {})                   // the adapter, on the admin socket
 *     await world.get("/")                                    // one request through the balancer
 *     await world.stop();                                     // ends every process, removes namespace and folder
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { BalancerAccess, BalancerMember, BalancerPool } from "#adapter/balancer.ts";
import { packageResolve, packageUnpack } from "#agent/image-packages.ts";
import { exec } from "#lib/exec.ts";

const packages = ["haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1", "libpcre2-8-0"];
const memberProgram = fileURLToPath(new URL("./haproxy-member.ts", import.meta.url));
const startPatienceMs = 10_000;
const answerCharsMax = 4_000_000;

export const webPool: BalancerPool = { name: "web", port: 8_080, healthPath: "/health" };
export const frontPort = 80;

export interface MemberServer extends BalancerMember {
  sick(): Promise<void>;
  well(): Promise<void>;
  /** kill -9, at once. */
  kill(): Promise<void>;
}

export interface HaproxyWorld {
  /** Arguments for nsenter. */
  readonly enter: readonly string[];
  readonly access: BalancerAccess;
  /** On the address of the member that had this name before, or on a new one. */
  memberStart(name: string, options?: { readonly sick?: boolean; readonly address?: string }): Promise<MemberServer>;
  haproxyStart(members: readonly BalancerMember[], options?: ConfigOptions): Promise<void>;
  /** kill -9: a proxy that crashed. */
  haproxyKill(): Promise<void>;
  /** Status and body of one request through the balancer. */
  get(path: string): Promise<{ readonly status: number; readonly body: string }>;
  stop(): Promise<void>;
}

export interface ConfigOptions {
  readonly checkPath?: string | null;
  /** False: what a member does not answer is lost, so that a test sees every loss. */
  readonly retries?: boolean;
}

/** As the image's hook writes it from a context. */
export function haproxyConfig(socket: string, members: readonly BalancerMember[], options: ConfigOptions = {}) {
  const { checkPath = webPool.healthPath, retries = true } = options;
  const check = checkPath === null ? [] : [`option httpchk GET ${checkPath}`];
  const servers = members.map(({ name, address }) => `server ${name} ${address}:${webPool.port}`);
  return `global
  stats socket ${socket} level admin
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout check 2s
  ${retries ? "option redispatch 1\n  retries 3\n  retry-on conn-failure empty-response" : "retries 0"}
  default-server check inter 500ms fastinter 100ms downinter 500ms rise 1 fall 2
frontend front
  bind :${frontPort}
  # What was sent already is sent again only where that does no harm.
  http-request disable-l7-retry unless METH_GET
  default_backend ${webPool.name}
backend ${webPool.name}
  balance roundrobin
  ${[...check, ...servers].join("\n  ")}
`;
}

export async function startHaproxyWorld(): Promise<HaproxyWorld> {
  const folder = await mkdtemp(join(tmpdir(), "stratiform-haproxy-"));
  const namespace = `strat-hap-${randomBytes(4).toString("hex")}`;
  const root = join(folder, "root");
  await packageUnpack(await packageResolve(packages, folder), { download: join(folder, "download"), target: root });
  await exec("ip", ["netns", "add", namespace]);
  await exec("ip", ["-n", namespace, "link", "set", "lo", "up"]);
  const enter = [`--net=/run/netns/${namespace}`];
  const socket = join(folder, "admin.sock");
  const children = new Set<ChildProcess>();
  const start = (file: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
    const child = spawn("nsenter", [...enter, file, ...args], { stdio: ["pipe", "pipe", "ignore"], env: { ...process.env, ...env } });
    child.stdin.on("error", () => {});
    children.add(child);
    child.once("exit", () => children.delete(child));
    return child;
  };
  const addresses = new Map<string, string>();
  let haproxy: ChildProcess | null = null;
  return {
    enter,
    access: { run: (_ctx, command) => adminAnswer(socket, command.stdin ?? "") },
    async memberStart(name, options = {}) {
      const address = options.address ?? addresses.get(name) ?? `127.0.1.${addresses.size + 1}`;
      addresses.set(name, address);
      const child = start(process.execPath, [memberProgram, name, address, String(webPool.port), options.sick ? "sick" : "well"]);
      await said(child, "ready");
      const tell = async (word: string) => {
        const heard = said(child, word);
        child.stdin!.write(`${word}\n`);
        await heard;
      };
      return { name, address, sick: () => tell("sick"), well: () => tell("well"), kill: () => childKill(child) };
    },
    async haproxyStart(members, options) {
      const file = join(folder, "haproxy.cfg");
      await writeFile(file, haproxyConfig(socket, members, options));
      const env = { LD_LIBRARY_PATH: join(root, "usr/lib/x86_64-linux-gnu") };
      haproxy = start(join(root, "usr/sbin/haproxy"), ["-db", "-f", file], env);
      await answering(socket, haproxy);
    },
    async haproxyKill() {
      if (haproxy !== null) await childKill(haproxy);
    },
    async get(path) {
      const args = ["-s", "--max-time", "30", "-w", "\n%{http_code}", `http://127.0.0.1:${frontPort}${path}`];
      const { stdout } = await exec("nsenter", [...enter, "curl", ...args], { okCodes: [0, 7, 52, 56] });
      const end = stdout.lastIndexOf("\n");
      return { status: Number(stdout.slice(end + 1)), body: stdout.slice(0, end) };
    },
    async stop() {
      for (const child of children) await childKill(child);
      await exec("ip", ["netns", "del", namespace], { okCodes: [0, 1] });
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What the image's `haproxy-admin` does: standard input to the socket, the answer to standard output, 75 when nobody listens. */
function adminAnswer(socket: string, line: string): ReturnType<BalancerAccess["run"]> {
  return new Promise((resolve) => {
    let stdout = "";
    const end = (exitCode: number, stderr: string) => resolve({ exitCode, stdout, stderr });
    const connection = net.connect(socket, () => connection.write(line));
    connection.setEncoding("utf8");
    connection.on("data", (text: string) => {
      if (stdout.length < answerCharsMax) stdout += text;
    });
    connection.once("end", () => end(0, ""));
    connection.once("error", (error) => end(75, error.message));
  });
}

function said(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const ended = () => reject(new Error(`${child.spawnargs.join(" ")} ended before it said ${word}`));
    const hear = (chunk: Buffer) => {
      if (!chunk.toString().includes(word)) return;
      child.stdout!.off("data", hear);
      child.off("exit", ended);
      resolve();
    };
    child.stdout!.on("data", hear);
    child.once("exit", ended);
  });
}

async function answering(socket: string, haproxy: ChildProcess): Promise<void> {
  const deadline = Date.now() + startPatienceMs;
  while ((await adminAnswer(socket, "show info\n")).exitCode !== 0) {
    if (haproxy.exitCode !== null || Date.now() > deadline) throw new Error("HAProxy does not start");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function childKill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}
