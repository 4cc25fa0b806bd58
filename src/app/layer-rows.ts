/** Rows as the engine of the layers view wants them. */
import type { Fact, Layer } from "#domain/fact.ts";
import { formatId } from "#domain/id.ts";
import type { LayerExposure, LayerMachine, LayerOrder, LayerSegment } from "#domain/layer-facts.ts";
import type { DesiredMachine } from "#domain/plan.ts";
import type { layerOrders } from "#store/layer.ts";
import type { addressList, ExposureRow, factList, machineList, SegmentRow } from "#store/vapp.ts";

export function machineOf(
  row: Awaited<ReturnType<typeof machineList>>[number],
  addresses: Awaited<ReturnType<typeof addressList>>,
  facts: readonly Fact[],
): LayerMachine {
  // What an order in flight asks for is what is desired; what is true then shows in the facts.
  const spec = (row.wanted ?? row.spec) as unknown as DesiredMachine;
  return {
    id: formatId("machine", row.id),
    name: row.name,
    tier: row.tier,
    ordinal: row.ordinal,
    kind: row.kind,
    desired: row.desired,
    state: row.state,
    stateAt: row.state_at.getTime(),
    unhealthySince: row.unhealthy_since?.getTime() ?? null,
    image: row.image,
    imageDigest: row.image_digest,
    size: spec.size,
    vcpus: spec.vcpus,
    memoryMiB: spec.memoryMiB,
    volumes: spec.volumes ?? [],
    segments: spec.segments,
    health: spec.health,
    reason: row.reason,
    endpoint: row.endpoint_name,
    provider: row.provider,
    externalName: row.external_name,
    addresses: addresses
      .filter(({ machine_id }) => machine_id === row.id)
      .map(({ segment_name, address, mac }) => ({ segment: segment_name, address, mac })),
    facts,
  };
}

export function orderOf(row: Awaited<ReturnType<typeof layerOrders>>[number]): LayerOrder {
  const verdicts = [...new Set(row.verdicts.map(({ decision, reason }) => `${decision}: ${reason}`))];
  return {
    id: formatId("order", row.id),
    run: formatId("run", row.run_id),
    process: row.action,
    principal: row.principal_name,
    policy: verdicts.length === 0 ? null : verdicts.join("; "),
    state: row.state,
    createdAt: row.created_at.getTime(),
    generation: (row.generation ?? 0) + 1,
  };
}

export function segmentOf(row: SegmentRow, facts: readonly Fact[]): LayerSegment {
  const { name, isolated, prefix, attachment } = row;
  return { name, isolated, externalName: row.external_name, prefix, attachment, facts };
}

export function exposureOf(
  row: ExposureRow,
  machines: readonly { readonly id: string; readonly name: string }[],
  segments: readonly SegmentRow[],
  facts: readonly Fact[],
): LayerExposure {
  return {
    name: row.name,
    machine: machines.find(({ id }) => id === row.machine_id)?.name ?? "?",
    segment: segments.find(({ id }) => id === row.segment_id)?.name ?? "?",
    targetPort: row.target_port,
    address: row.address,
    port: row.port,
    facts,
  };
}

/** Facts by their subject, as the view wants them. */
export function grouped(rows: Awaited<ReturnType<typeof factList>>): (subjectId: string) => Fact[] {
  const bySubject = new Map<string, Fact[]>();
  for (const row of rows) {
    const facts = bySubject.get(row.subject_id) ?? [];
    bySubject.set(row.subject_id, facts);
    facts.push({
      layer: row.layer as Layer,
      name: row.name,
      value: row.value as Fact["value"],
      source: row.source,
      observedAt: row.observed_at.toISOString(),
    });
  }
  return (subjectId) => bySubject.get(subjectId) ?? [];
}
