/** A container of one static busybox, for tests that need something real on a segment without building an image. */
import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { SegmentFacts } from "#fabric/contract.ts";
import { exec } from "#lib/exec.ts";
import type { TestSite } from "./site.ts";

/** Runs LXD's own client against the site's LXD; its settings stay in the site's home. */
export async function lxc(site: TestSite, ...args: string[]): Promise<string> {
  const env = { ...process.env, LXD_DIR: site.lxdConfig.socket.replace(/\/unix\.socket$/, ""), LXD_CONF: join(site.home, "lxc-client") };
  return (await exec("lxc", args, { env })).stdout;
}

export async function busyboxImageImport(site: TestSite): Promise<void> {
  const folder = join(site.home, "busybox-image");
  for (const part of ["bin", "sbin", "proc", "sys", "dev", "etc", "tmp", "www"])
    await mkdir(join(folder, "rootfs", part), { recursive: true });
  await copyFile("/bin/busybox", join(folder, "rootfs/bin/busybox"));
  await symlink("../bin/busybox", join(folder, "rootfs/sbin/init"));
  await symlink("busybox", join(folder, "rootfs/bin/sh"));
  await writeFile(join(folder, "rootfs/www/index.html"), "container");
  await writeFile(join(folder, "metadata.yaml"), "architecture: x86_64\ncreation_date: 1\nproperties: { os: busybox }\n");
  const file = join(site.home, "busybox.tar.gz");
  await exec("tar", ["-C", folder, "-czf", file, "metadata.yaml", "rootfs"]);
  await lxc(site, "image", "import", file, "--alias", "busybox");
}

/** A running container that serves a page saying `container` on port 80 of `address`. */
export async function busyboxContainerStart(site: TestSite, name: string, segment: SegmentFacts, address: string): Promise<void> {
  await lxc(site, "init", "busybox", name, "-s", site.lxdConfig.pool, "-c", "limits.memory=64MiB");
  await lxc(site, "config", "device", "add", name, "eth0", "nic", "nictype=bridged", `parent=${segment.attachment}`, "name=eth0");
  await lxc(site, "start", name);
  const script = `busybox ip addr add ${address}/24 dev eth0; busybox ip link set eth0 up; busybox httpd -h /www -p 80`;
  await lxc(site, "exec", name, "--", "/bin/sh", "-c", script);
}
