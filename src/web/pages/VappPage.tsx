/** One vApp: how it is, what it is made of, what is being done to it. */
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { LayerList } from "../components/LayerList.tsx";
import { MachineTable } from "../components/MachineTable.tsx";
import { OrderList } from "../components/OrderList.tsx";
import { ProblemPanel } from "../components/ProblemPanel.tsx";
import { RunHead, RunView } from "../components/RunView.tsx";
import { Section } from "../components/Section.tsx";
import { TopologyView } from "../components/TopologyView.tsx";
import { VappHead } from "../components/VappHead.tsx";
import { Waiting } from "../components/Waiting.tsx";
import { counted } from "../format.ts";
import { layersQuery, offeringQuery, ordersQuery, runQuery, vappQuery, type Vapp } from "../query.ts";
import { useTitle } from "../title.ts";
import { topologyOf } from "../topology.ts";

const route = getRouteApi("/services/$vapp");

export function VappPage() {
  const { vapp: name } = route.useParams();
  useTitle(name);
  const vapp = useQuery(vappQuery(name));
  return (
    <>
      {vapp.error !== null && (
        <ProblemPanel
          error={vapp.error}
          what={vapp.data === undefined ? `${name} cannot be shown` : "What is shown may be old"}
          onRetry={() => void vapp.refetch()}
        />
      )}
      {vapp.isPending && <Waiting what={name} lines={6} />}
      {vapp.data !== undefined && <VappParts key={vapp.data.id} vapp={vapp.data} />}
    </>
  );
}

function VappParts({ vapp }: { readonly vapp: Vapp }) {
  const orders = useQuery(ordersQuery(vapp.id));
  const layers = useQuery(layersQuery(vapp.id));
  const offering = useQuery(offeringQuery(vapp.offering));
  const topology = useMemo(() => topologyOf(vapp, offering.data?.document), [vapp, offering.data]);
  const runs = useShownRuns(vapp);
  return (
    <>
      <VappHead vapp={vapp} />
      {runs.map((run) => (
        <ShownRun key={run} id={run} isLive={run === vapp.run} />
      ))}
      <Section id="topology" title="Topology">
        {topology.tiers.length === 0 ? <p>Nothing of it is there.</p> : <TopologyView topology={topology} />}
      </Section>
      <Section id="machines" title="Machines" aside={counted(vapp.machines.length, "machine")} flush>
        <MachineTable machines={vapp.machines} />
      </Section>
      <Section id="layers" title="Seven layers" aside="desired beside observed, with source, age, reason and impact" flush>
        {layers.error !== null && (
          <ProblemPanel error={layers.error} what={layers.data === undefined ? "The layers cannot be shown" : "What is shown may be old"} />
        )}
        {layers.isPending && <Waiting what="the seven layers" lines={7} />}
        {layers.data !== undefined && <LayerList layers={layers.data.layers} />}
      </Section>
      <Section id="orders" title="Recent orders" flush>
        {orders.error !== null && <ProblemPanel error={orders.error} what="The orders cannot be shown" />}
        {orders.isPending && <Waiting what="orders" lines={2} />}
        {orders.data !== undefined && <OrderList orders={orders.data} vapp={vapp.name} shownRuns={runs} />}
      </Section>
    </>
  );
}

/** The run that holds the vApp, which stays when it has ended so that its end is seen, and the one asked for. */
function useShownRuns(vapp: Vapp): string[] {
  const { run: wanted = null } = route.useSearch();
  const [held, setHeld] = useState<string | null>(vapp.run);
  if (vapp.run !== null && vapp.run !== held) setHeld(vapp.run);
  return [...new Set([vapp.run ?? held, wanted])].filter((run) => run !== null);
}

function ShownRun({ id, isLive }: { readonly id: string; readonly isLive: boolean }) {
  const run = useQuery(runQuery(id));
  return (
    <Section
      id={`run-${id}`}
      title={`${isLive ? "Under way" : "Run"}${run.data === undefined ? "" : `: ${run.data.action}`}`}
      aside={run.data === undefined ? undefined : <RunHead run={run.data} />}
    >
      {run.error !== null && <ProblemPanel error={run.error} what="The run cannot be shown" />}
      {run.isPending && <Waiting what="the run" lines={4} />}
      {run.data !== undefined && <RunView run={run.data} />}
    </Section>
  );
}
