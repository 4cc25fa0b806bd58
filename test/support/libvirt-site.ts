/**
 * A private libvirtd for tests: own network, mount, host name and process namespaces, own folders, one bridge `br-test`. The host sees
 * processes and one folder under /tmp, nothing else. Everything dies with the holder of the namespaces, also when the test process is
 * killed (the holder is bound to it by its parent-death signal). Needs root.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exec } from "#lib/exec.ts";

export interface LibvirtSite {
  readonly dir: string;
  readonly socket: string;
  readonly poolPath: string;
  readonly bridge: string;
  /** Runs a program inside the site's namespaces and returns its standard output. */
  run(file: string, ...args: string[]): Promise<string>;
  virsh(...args: string[]): Promise<string>;
  /** Kills the QEMU process of a domain, as a crash would. */
  killGuest(name: string): Promise<void>;
  /** kill -9: guests go on running. */
  daemonKill(): Promise<void>;
  daemonStart(): Promise<void>;
  stop(): Promise<void>;
}

/** For a libvirtd that listens with TLS, on its standard port of all addresses, reached from the host by a link of two addresses. */
export interface LibvirtSiteTls {
  /** PEM of the server, and of the authority whose clients are let in. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Distinguished names that are let in. */
  readonly allowed: readonly string[];
  /** Addresses of the site, of the same /29, in front of the host's. */
  readonly addresses: readonly string[];
  readonly hostAddress: string;
}

const qemuConf = `user="root"
group="root"
dynamic_ownership=0
remember_owner=0
security_driver="none"
namespaces=[]
stdio_handler="file"
vnc_listen="127.0.0.1"
cgroup_controllers=[]
`;

const tlsConf = (dir: string, { allowed }: LibvirtSiteTls) => `listen_tls=1
auth_tls="none"
ca_file="${dir}/tls/ca.pem"
cert_file="${dir}/tls/server.pem"
key_file="${dir}/tls/server.key"
tls_allowed_dn_list=[${allowed.map((name) => `"${name}"`).join(", ")}]`;

const libvirtdConf = (dir: string, tls: LibvirtSiteTls | null) => `auth_unix_rw="none"
auth_unix_ro="none"
unix_sock_dir="${dir}/run"
${tls === null ? "listen_tls=0" : tlsConf(dir, tls)}
host_uuid="${randomUUID()}"
log_level=3
log_outputs="3:file:${dir}/log/libvirtd.log"
`;

/** The lock files of consoles hold numbers of processes of this namespace. libvirtd wants its system user, and re-probes QEMU for 40 s a start while an unusable /dev/kvm is there: both are masked. */
const holderScript = `set -e
mount -t sysfs sysfs /sys
hostname libvirt-test
ip link set lo up
ip link add br-test type bridge forward_delay 0
ip link set br-test up
mkdir -p /etc/libvirt /var/lib/libvirt /run/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind "$1/etc" /etc/libvirt
mount --bind "$1/lib" /var/lib/libvirt
mount --bind "$1/run" /run/libvirt
mount --bind "$1/log" /var/log/libvirt
mount --bind "$1/cache" /var/cache/libvirt
mount -t tmpfs lock /run/lock
mount --bind "$1/passwd" /etc/passwd
mount --bind "$1/group" /etc/group
if [ -e /dev/kvm ]; then mount --bind -o ro "$1/empty" /dev/kvm; fi
touch "$1/ready"
# Process 1 of the namespace: reaps what is orphaned in it.
while :; do sleep 1 & wait; done`;

async function tlsFiles(dir: string, { ca, cert, key }: LibvirtSiteTls): Promise<void> {
  await mkdir(join(dir, "tls"));
  for (const [name, text] of Object.entries({ "ca.pem": ca, "server.pem": cert, "server.key": key })) {
    await writeFile(join(dir, "tls", name), text);
  }
}

/** Goes away with the namespace. */
async function hostLink(inner: string, { addresses, hostAddress }: LibvirtSiteTls): Promise<void> {
  const name = `lv${randomUUID().slice(0, 8)}`;
  await exec("ip", ["link", "add", name, "type", "veth", "peer", "name", "host", "netns", inner]);
  await exec("ip", ["address", "add", `${hostAddress}/29`, "dev", name]);
  await exec("ip", ["link", "set", name, "up"]);
  const inside = (...args: string[]) => exec("nsenter", ["-t", inner, "-n", "ip", ...args]);
  for (const address of addresses) await inside("address", "add", `${address}/29`, "dev", "host");
  await inside("link", "set", "host", "up");
}

export async function libvirtSiteStart(tls: LibvirtSiteTls | null = null): Promise<LibvirtSite> {
  const dir = await mkdtemp(join(tmpdir(), "libvirt-site-"));
  for (const name of ["etc", "lib", "run", "log", "cache", "pool"]) await mkdir(join(dir, name));
  await writeFile(join(dir, "etc/qemu.conf"), qemuConf);
  await writeFile(join(dir, "etc/libvirtd.conf"), libvirtdConf(dir, tls));
  if (tls !== null) await tlsFiles(dir, tls);
  await writeFile(join(dir, "empty"), "");
  const extended = async (file: string, line: string) => `${(await readFile(file, "utf8")).trimEnd()}\n${line}\n`;
  await writeFile(join(dir, "passwd"), await extended("/etc/passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin"));
  await writeFile(join(dir, "group"), await extended("/etc/group", "libvirt-qemu:x:64055:"));
  const namespaces = ["-n", "-m", "-u", "-p", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"];
  const holder = spawn("setpriv", ["--pdeathsig", "KILL", "unshare", ...namespaces, "sh", "-c", holderScript, "sh", dir], {
    stdio: "ignore",
  });
  await waitFor("the holder of the namespaces", () => exists(join(dir, "ready")), holder);
  const inner = (await readFile(`/proc/${holder.pid}/task/${holder.pid}/children`, "utf8")).trim();
  if (tls !== null) await hostLink(inner, tls);
  const enter = ["-t", inner, "-n", "-m", "-u", "-p"];
  const socket = join(dir, "run/libvirt-sock");
  const run = async (file: string, ...args: string[]) => (await exec("nsenter", [...enter, file, ...args])).stdout;
  const virsh = (...args: string[]) => run("virsh", "-c", `qemu+unix:///system?socket=${socket}`, ...args);
  let daemon: ChildProcess;

  async function daemonStart(): Promise<void> {
    await rm(socket, { force: true });
    const listen = tls === null ? [] : ["-l"];
    daemon = spawn("nsenter", [...enter, "libvirtd", ...listen, "-f", `${dir}/etc/libvirtd.conf`, "-p", `${dir}/run/libvirtd.pid`], {
      stdio: "ignore",
    });
    await waitFor("libvirtd", () => exists(socket), daemon);
  }

  const endOf = (child: ChildProcess) =>
    new Promise<void>((resolve) => ((child.exitCode ?? child.signalCode) === null ? child.once("exit", () => resolve()) : resolve()));

  await daemonStart();
  return {
    dir,
    socket,
    poolPath: join(dir, "pool"),
    bridge: "br-test",
    run,
    virsh,
    daemonStart,
    killGuest: async (name) => {
      await run("sh", "-c", `kill -9 "$(cat "/run/libvirt/qemu/$1.pid")"`, "sh", name);
    },
    daemonKill: async () => {
      await run("sh", "-c", `kill -9 "$(cat "$1/run/libvirtd.pid")"`, "sh", dir);
      await endOf(daemon);
    },
    stop: async () => {
      holder.kill("SIGKILL");
      await endOf(holder);
      await endOf(daemon);
      await rm(dir, { recursive: true, force: true });
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function waitFor(what: string, holds: () => Promise<boolean>, child: ChildProcess): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await holds()) return;
    if (child.exitCode !== null) throw new Error(`${what} ended with ${child.exitCode}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not come up`);
}
