/**
 * Whether VMs can use KVM here, found by booting one: on some hosts /dev/kvm exists and every guest hangs on it. The guest is the
 * real firmware and one boot sector that says through QEMU's debug exit device that it ran.
 */
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAppError } from "#domain/error.ts";
import { exec } from "#lib/exec.ts";

/** Working KVM and TCG both take about 0.1 s; a /dev/kvm that is emulated took 2.8 s and is of no use. */
const probeLimitMs = 1_500;
/** The firmware does not boot from a disk of one sector. */
const diskBytes = 1024 * 1024;
/** QEMU ends with twice the value written plus one. */
const saidValue = 0x10;
const exitCode = saidValue * 2 + 1;

/** `mov al, 0x10; mov dx, 0xf4; out dx, al; hlt` and the signature the firmware looks for. */
export function bootDisk(): Buffer {
  const sector = Buffer.alloc(diskBytes);
  Buffer.from([0xb0, saidValue, 0xba, 0xf4, 0x00, 0xee, 0xf4]).copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** True when the boot sector ran under this accelerator within the time limit. `home` is where a killed agent may leave the disk. */
export async function acceleratorBoots(accelerator: "kvm" | "tcg", timeoutMs: number, home: string): Promise<boolean> {
  const folder = await mkdtemp(join(home, "probe-"));
  try {
    const disk = join(folder, "boot.img");
    await writeFile(disk, bootDisk());
    const machine = ["-machine", `q35,accel=${accelerator}`, "-m", "64", "-nodefaults", "-no-user-config", "-display", "none"];
    const devices = ["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-drive", `file=${disk},format=raw,if=virtio`];
    const result = await exec("qemu-system-x86_64", [...machine, ...devices], { timeoutMs, okCodes: [exitCode] });
    return result.code === exitCode;
  } catch (error) {
    if (isAppError(error, "internal") || isAppError(error, "timeout")) return false;
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

export async function acceleratorProbe(home: string): Promise<"kvm" | "tcg"> {
  const present = await access("/dev/kvm").then(
    () => true,
    () => false,
  );
  if (!present || process.arch !== "x64") return "tcg";
  return (await acceleratorBoots("kvm", probeLimitMs, home)) ? "kvm" : "tcg";
}
