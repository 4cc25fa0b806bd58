/** One virtual machine started by hand, without libvirt: for tests of images alone. Emulated, user-mode network, no root rights used. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { exec } from "#lib/exec.ts";
import { makeIso, type IsoFile } from "#lib/iso9660.ts";

export interface TestQemu {
  /** Port 80 of the guest. */
  readonly url: string;
  /** CPU seconds the emulator has used. */
  cpuSeconds(): Promise<number>;
  /** Runs a command through the guest agent. */
  run(argv: string[], stdin?: string): Promise<{ code: number; stdout: string; stderr: string }>;
  /** Asks the guest agent to power off and resolves when the machine ended. */
  powerOff(): Promise<void>;
  stop(): Promise<void>;
}

/** Address and MAC of the only NIC are fixed by QEMU's user-mode network: put them into the seed. */
export const qemuNic = { mac: "52:54:00:12:34:56", address: "10.0.2.15/24", gateway: "10.0.2.2" };

export async function startQemu(image: string, seed: readonly IsoFile[], memoryMiB: number): Promise<TestQemu> {
  const folder = await mkdtemp(join(tmpdir(), "stratiform-qemu-"));
  await writeFile(join(folder, "seed.iso"), makeIso("cidata", seed));
  await exec("qemu-img", ["create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", join(folder, "disk.qcow2")]);
  const port = await freePort();
  const args = [
    ["-machine", "q35,accel=tcg", "-cpu", "Nehalem", "-m", String(memoryMiB), "-nodefaults", "-display", "none"],
    ["-drive", "file=disk.qcow2,if=none,id=disk", "-device", "virtio-blk-pci,drive=disk,bootindex=1"],
    ["-drive", "file=seed.iso,format=raw,readonly=on,if=none,id=seed", "-device", "virtio-blk-pci,drive=seed"],
    ["-netdev", `user,id=net,hostfwd=tcp:127.0.0.1:${port}-:80`, "-device", "virtio-net-pci,netdev=net,romfile="],
    ["-device", "virtio-serial", "-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off"],
    ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0", "-serial", "file:serial.log"],
  ].flat();
  const child = spawn("qemu-system-x86_64", args, { cwd: folder, stdio: "ignore" });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
    await rm(folder, { recursive: true, force: true });
  };
  return {
    url: `http://127.0.0.1:${port}`,
    async cpuSeconds() {
      const stat = await readFile(`/proc/${child.pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) / 100;
    },
    run: (argv, stdin = "") => withAgent(join(folder, "agent.sock"), (agent) => agentRun(agent, argv, stdin)),
    async powerOff() {
      await withAgent(join(folder, "agent.sock"), (agent) => agent.send("guest-shutdown", {}));
      await exited;
    },
    stop,
  };
}

interface Agent {
  send(execute: string, args: object): Promise<void>;
  call(execute: string, args: object): Promise<Record<string, unknown>>;
}

async function withAgent<T>(path: string, use: (agent: Agent) => Promise<T>): Promise<T> {
  const socket: Socket = connect(path);
  await once(socket, "connect");
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const send = async (execute: string, args: object) => {
    socket.write(`${JSON.stringify({ execute, arguments: args })}\n`);
  };
  try {
    return await use({
      send,
      async call(execute, args) {
        await send(execute, args);
        const { value } = await lines.next();
        const answer = JSON.parse(String(value)) as { return?: Record<string, unknown>; error?: { desc: string } };
        if (answer.return === undefined) throw new Error(answer.error?.desc);
        return answer.return;
      },
    });
  } finally {
    socket.destroy();
  }
}

async function agentRun(agent: Agent, argv: string[], stdin: string): Promise<{ code: number; stdout: string; stderr: string }> {
  const input = Buffer.from(stdin).toString("base64");
  const { pid } = await agent.call("guest-exec", { path: argv[0], arg: argv.slice(1), "input-data": input, "capture-output": true });
  for (;;) {
    const status = await agent.call("guest-exec-status", { pid });
    if (status["exited"] === true) {
      const text = (key: string) => Buffer.from(String(status[key] ?? ""), "base64").toString();
      return { code: Number(status["exitcode"]), stdout: text("out-data"), stderr: text("err-data") };
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** Free at the time of asking; nothing else on a test machine takes ports of this range so quickly. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
