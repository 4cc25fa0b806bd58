/** A simulated balancer with simulated members, as a subject of the balancer conformance suite: real HTTP through a real exposure. */
import { Agent, request } from "node:http";
import type { BalancerAccess, BalancerMember } from "#adapter/balancer.ts";
import type { BalancerSubject, TestMember } from "#adapter/conformance.ts";
import { callContext } from "#adapter/conformance/subject.ts";
import { simBalancerCapabilities, simBalancerFactory } from "#adapters/sim/balancer.ts";
import { simFabricFactory } from "#fabrics/sim/fabric.ts";
import { freshOwner } from "#provider/conformance/subject.ts";
import type { MachineSpec } from "#provider/contract.ts";
import { SimControl } from "#providers/sim/control.ts";
import { simFactory } from "#providers/sim/provider.ts";
import { simPaths, startSim } from "./sim.ts";
import { simAttachment, simSubject } from "./sim-subject.ts";

export interface SimBalancerWorld {
  readonly subject: BalancerSubject;
  readonly control: SimControl;
  stop(): Promise<void>;
}

const endpoint = "balanced";
const pool = { name: "web", port: 80, healthPath: "/health" };

export async function startSimBalancer(): Promise<SimBalancerWorld> {
  const paths = simPaths();
  const sim = await startSim(paths);
  const control = new SimControl(paths.socket);
  const provider = simFactory.open({ socket: paths.socket, endpoint });
  const fabric = simFabricFactory.open({ socket: paths.socket });
  const provided = simSubject({ endpoint, kinds: ["container"], socket: () => paths.socket, control: () => control });
  const ctx = () => callContext();
  const prefix = { prefix: "10.64.1.0/24", gateway: "10.64.1.1", isolated: false };
  await fabric.segmentEnsure(ctx(), { name: simAttachment, owner: freshOwner(), ...prefix });
  await provider.imageEnsure(ctx(), await provided.imageSource());
  const machines = new Map<string, MachineSpec>();

  async function started(name: string): Promise<MachineSpec> {
    const spec = machines.get(name) ?? provided.machine({ name, owner: freshOwner() });
    machines.set(name, spec);
    await provider.machineEnsure(ctx(), spec);
    await provider.machineStart(ctx(), spec);
    return spec;
  }

  async function apply(spec: MachineSpec, context: object): Promise<void> {
    const command = { argv: ["/usr/lib/stratiform/apply"], stdin: JSON.stringify({ self: { name: spec.name }, ...context }) };
    const { exitCode, stderr } = await provider.channelRun(ctx(), spec, command);
    if (exitCode !== 0) throw new Error(stderr);
  }

  const proxy = await started("proxy-0");
  const balance = (members: readonly BalancerMember[]) => ({
    balance: { pool: pool.name, port: pool.port, health: pool.healthPath, members },
  });
  await apply(proxy, balance([]));
  const target = { segment: simAttachment, address: proxy.nics[0]!.address, port: 80 };
  const exposure = await fabric.exposureEnsure(ctx(), { name: "front", owner: freshOwner(), target });
  const access: BalancerAccess = { run: (own, command) => provider.channelRun(own, proxy, command) };
  const agent = new Agent({ keepAlive: true });

  async function memberStart(name: string, options: { readonly sick?: boolean } = {}): Promise<TestMember> {
    const spec = await started(name);
    const behave = (httpStatus: number) => control.guestBehave({ endpoint, name, httpStatus });
    await behave(options.sick === true ? 503 : 200);
    await apply(spec, {});
    return {
      name,
      address: spec.nics[0]!.address,
      sick: () => behave(503),
      well: () => behave(200),
      kill: () => provider.machineStop(ctx(), spec, { graceMs: 0 }),
    };
  }

  return {
    control,
    subject: {
      name: "sim",
      capabilities: simBalancerCapabilities,
      pool,
      open: () => simBalancerFactory.open(access, {}),
      memberStart,
      get: (ms = 0) => pageGet(agent, exposure.port, ms),
      async kill() {
        await provider.machineStop(ctx(), proxy, { graceMs: 0 });
        await provider.machineStart(ctx(), proxy);
      },
      start: (members) => apply(proxy, balance(members)),
    },
    async stop() {
      agent.destroy();
      control.close();
      await Promise.all([provider.close(), fabric.close()]);
      await sim.stop();
      paths.remove();
    },
  };
}

/** Half of the requests on connections that stay open, half on new ones: both must be served. */
let requests = 0;

function pageGet(agent: Agent, port: number, ms: number): Promise<{ status: number; member: string | null }> {
  return new Promise((resolve) => {
    const kept = requests++ % 2 === 0;
    const sent = request({ host: "127.0.0.1", port, path: `/?ms=${ms}`, agent: kept ? agent : false }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => (text += chunk.toString()));
      response.on("end", () => resolve({ status: response.statusCode ?? 0, member: /^simulated (.*)\n$/.exec(text)?.[1] ?? null }));
      response.on("error", () => resolve({ status: 0, member: null }));
    });
    sent.on("error", () => resolve({ status: 0, member: null }));
    sent.end();
  });
}
