/** What machines do, are and hold: the layers application, processing and storage. */
import { machineImpact, volumeImpact } from "#domain/layer-impact.ts";
import { declaredBy, factSeen, layerItem, recordSeen, setBy, whyOf, type Seen } from "#domain/layer-item.ts";
import { layerStaleMs, type LayerFacts, type LayerMachine } from "#domain/layer-facts.ts";
import type { LayerItem } from "#domain/layer-view.ts";

const configuring = ["context.apply", "context.sync"];
const powering = ["machine.ensure", "machine.start", "machine.stop"];
const sizing = ["machine.ensure", "machine.resize"];

export function applicationItems(facts: LayerFacts): LayerItem[] {
  const waves = facts.blueprint.startSequence;
  return [
    ...facts.machines.flatMap((machine) => [...healthItems(facts, machine), configurationItem(facts, machine)]),
    ...balancerItems(facts),
    layerItem(facts.at, {
      subject: { kind: "vapp", name: facts.vapp.name },
      name: "start sequence",
      desired: null,
      seen: recordSeen(facts, waves, "blueprint"),
      why: whyOf(`each tier is configured after those it comes after: ${declaredBy(facts)}`, facts.orders.at(-1) ?? null),
    }),
  ];
}

function healthItems(facts: LayerFacts, machine: LayerMachine): LayerItem[] {
  const { health } = machine;
  if (health === null) return [];
  const seen = factSeen(machine.facts, "application", "health", layerStaleMs.health);
  const hung = seen?.value === "unhealthy" && machine.unhealthySince !== null;
  const check = "tcp" in health ? `tcp ${health.tcp}` : `http :${health.http.port}${health.http.path}`;
  return [
    layerItem(facts.at, {
      subject: { kind: "machine", name: machine.name },
      name: "health",
      desired: machine.desired === "running" ? "healthy" : null,
      seen: seen === null || !hung ? seen : { ...seen, value: `unhealthy since ${new Date(machine.unhealthySince!).toISOString()}` },
      why: whyOf(`health check ${check} of ${declaredBy(facts, machine.tier)}`, setBy(facts, powering, machine.name)),
      impact: machineImpact(facts, machine),
    }),
  ];
}

/** Guests keep their configuration in memory: one that started again since it was handed over has lost it. */
function configurationItem(facts: LayerFacts, machine: LayerMachine): LayerItem {
  const order = setBy(facts, configuring, machine.name);
  const applied = facts.configured.find((entry) => entry.machine === machine.name);
  const lost = applied !== undefined && machine.state === "running" && machine.stateAt > applied.at;
  const seen: Seen | null =
    applied === undefined
      ? null
      : {
          value: lost ? `lost: it started again since generation ${applied.generation}` : `generation ${applied.generation}`,
          source: `run ${applied.run}`,
          at: applied.at,
          staleMs: null,
        };
  return layerItem(facts.at, {
    subject: { kind: "machine", name: machine.name },
    name: "configuration",
    desired: machine.desired === "running" && order !== null ? `generation ${order.generation}` : null,
    seen,
    why: whyOf(`what the vApp was when ${machine.name} was to be configured last, ${declaredBy(facts, machine.tier)}`, order),
  });
}

/** Who shall receive requests, and what the balancer said when it was asked last. */
function balancerItems(facts: LayerFacts): LayerItem[] {
  return facts.blueprint.tiers.flatMap(({ name, balance }) => {
    if (balance === null) return [];
    const members = facts.machines
      .filter(({ tier, desired }) => tier === balance.tier && desired === "running")
      .map((member) => member.name);
    return facts.machines
      .filter(({ tier }) => tier === name)
      .map((machine) => {
        const seen = factSeen(machine.facts, "application", "members", layerStaleMs.network);
        return layerItem(facts.at, {
          subject: { kind: "balancer", name: machine.name },
          name: `members of ${balance.tier}`,
          desired: members.toSorted(),
          seen,
          why: whyOf(`balances tier ${balance.tier} on port ${balance.port}, ${declaredBy(facts, name)}`, newestJoin(facts, members)),
          impact: machineImpact(facts, machine),
        });
      });
  });
}

function newestJoin(facts: LayerFacts, members: readonly string[]) {
  const orders = members.map((member) => setBy(facts, ["balancer.join", "machine.ensure"], member)).filter((order) => order !== null);
  return orders.toSorted((a, b) => b.createdAt - a.createdAt)[0] ?? null;
}

export function processingItems(facts: LayerFacts): LayerItem[] {
  return facts.machines.flatMap((machine) => {
    const subject = { kind: "machine", name: machine.name } as const;
    const size = whyOf(`size ${machine.size} of ${declaredBy(facts, machine.tier)}`, setBy(facts, sizing, machine.name));
    const gone = machine.state === "missing";
    const measured = (name: string) => (gone ? null : factSeen(machine.facts, "processing", name, layerStaleMs.machine));
    return [
      layerItem(facts.at, {
        subject,
        name: "power",
        desired: machine.desired === "deleted" ? "missing" : machine.desired,
        seen: powerSeen(machine),
        why: whyOf(`the vApp is to be ${facts.vapp.desired}`, setBy(facts, powering, machine.name)),
        impact: machineImpact(facts, machine),
      }),
      layerItem(facts.at, {
        subject,
        name: "kind",
        desired: null,
        seen: recordSeen(facts, `${machine.kind} at ${machine.endpoint}`, "placement"),
        why: whyOf(machine.reason, setBy(facts, ["machine.ensure"], machine.name)),
      }),
      layerItem(facts.at, { subject, name: "vcpus", desired: machine.vcpus, seen: measured("vcpus"), why: size }),
      layerItem(facts.at, { subject, name: "memoryMiB", desired: machine.memoryMiB, seen: measured("memoryMiB"), why: size }),
    ];
  });
}

/** The newer of the state we know and the fact a sampler wrote: a machine that is missing has no facts any more. */
function powerSeen(machine: LayerMachine): Seen | null {
  const fact = factSeen(machine.facts, "processing", "power", layerStaleMs.machine);
  if (machine.state === "planned") return null;
  const source = fact?.source ?? `${machine.provider}:${machine.endpoint}`;
  if (fact !== null && (fact.value === machine.state || fact.at >= machine.stateAt)) return fact;
  return { value: machine.state, source, at: machine.stateAt, staleMs: null };
}

export function storageItems(facts: LayerFacts): LayerItem[] {
  return [...facts.machines.flatMap((machine) => [imageItem(facts, machine), ...volumeItems(facts, machine)]), ...snapshotItems(facts)];
}

function imageItem(facts: LayerFacts, machine: LayerMachine): LayerItem {
  const order = setBy(facts, ["machine.ensure"], machine.name);
  return layerItem(facts.at, {
    subject: { kind: "machine", name: machine.name },
    name: "image",
    desired: null,
    seen: recordSeen(facts, `${machine.image} sha256:${machine.imageDigest.slice(0, 16)}`, "order"),
    why: whyOf(`image ${machine.image} of ${declaredBy(facts, machine.tier)}; the digest was fixed with the order`, order),
  });
}

function volumeItems(facts: LayerFacts, machine: LayerMachine): LayerItem[] {
  const seen = machine.state === "missing" ? null : factSeen(machine.facts, "storage", "volumes", layerStaleMs.machine);
  const there = Array.isArray(seen?.value) ? (seen.value as { name: string; sizeMiB: number }[]) : [];
  return machine.volumes.map(({ name, sizeMiB }) => {
    const found = there.find((volume) => volume.name === name);
    return layerItem(facts.at, {
      subject: { kind: "volume", name: `${machine.name}/${name}` },
      name: "sizeMiB",
      desired: sizeMiB,
      seen: seen === null ? null : { ...seen, value: found?.sizeMiB ?? "missing" },
      // A volume never shrinks, so one that is larger than asked for is as good as can be.
      ...(found === undefined ? {} : { agrees: found.sizeMiB >= sizeMiB }),
      why: whyOf(`volume ${name} of ${declaredBy(facts, machine.tier)}`, setBy(facts, sizing, machine.name)),
      impact: volumeImpact(facts, machine, name),
    });
  });
}

function snapshotItems(facts: LayerFacts): LayerItem[] {
  return facts.snapshots.map((snapshot) => {
    const order = setBy(facts, ["snapshot.ensure"], snapshot.name);
    const at = snapshot.takenAt ?? order?.createdAt ?? facts.at;
    return layerItem(facts.at, {
      subject: { kind: "snapshot", name: snapshot.name },
      name: "state",
      desired: "realised",
      seen: { value: snapshot.state, source: order === null ? "order" : `run ${order.run}`, at, staleMs: null },
      why: whyOf(`holds ${snapshot.machines.length} machines`, order),
      impact: `the vApp cannot be reverted to ${new Date(at).toISOString()} any more`,
    });
  });
}
