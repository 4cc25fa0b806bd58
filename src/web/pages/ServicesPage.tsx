/** All services: which are well, what they are made of, what they cost. */
import { SegmentedControl, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { ProblemPanel } from "../components/ProblemPanel.tsx";
import { EmptyServices } from "../components/EmptyServices.tsx";
import { ServiceTable } from "../components/ServiceTable.tsx";
import { Waiting } from "../components/Waiting.tsx";
import { amount, counted } from "../format.ts";
import { machinesQuery, vappsQuery, type Machine, type VappSummary } from "../query.ts";
import type { ServiceFilter } from "../search.ts";
import { meaningOf, needsAttention } from "../state.ts";
import { useTitle } from "../title.ts";
import classes from "./ServicesPage.module.css";

const route = getRouteApi("/services");

const filters: Readonly<Record<ServiceFilter, { readonly label: string; keeps(vapp: VappSummary): boolean }>> = {
  all: { label: "All", keeps: () => true },
  attention: { label: "Attention", keeps: ({ state }) => needsAttention(state) },
  changing: { label: "Changing", keeps: ({ state }) => meaningOf("vapp", state).tone === "busy" },
  stopped: { label: "Stopped", keeps: ({ state }) => state === "stopped" },
};

export function ServicesPage() {
  useTitle("Services");
  const vapps = useQuery(vappsQuery);
  const machines = useQuery(machinesQuery);
  return (
    <>
      <header className={classes.head}>
        <h1>Services</h1>
        {vapps.data !== undefined && vapps.data.items.length > 0 && <Totals vapps={vapps.data.items} machines={machines.data?.items} />}
      </header>
      {vapps.error !== null && (
        <ProblemPanel
          error={vapps.error}
          what={vapps.data === undefined ? "The services cannot be shown" : "What is shown may be old"}
          onRetry={() => void vapps.refetch()}
        />
      )}
      {vapps.isPending && <Waiting what="services" lines={4} />}
      {vapps.data !== undefined &&
        (vapps.data.items.length === 0 ? <EmptyServices /> : <Found {...vapps.data} machines={machines.data?.items} />)}
    </>
  );
}

function Totals({ vapps, machines }: { readonly vapps: readonly VappSummary[]; readonly machines: readonly Machine[] | undefined }) {
  const attention = vapps.filter(({ state }) => needsAttention(state)).length;
  const currencies = Map.groupBy(vapps, ({ currency }) => currency);
  const costs = [...currencies].map(
    ([currency, of]) => `${amount(String(of.reduce((sum, { costPerHour }) => sum + Number(costPerHour), 0)))} ${currency}`,
  );
  return (
    <p className={classes.totals}>
      {counted(vapps.length, "service")}
      {machines !== undefined && `, ${counted(machines.length, "machine")}`}, {costs.join(" and ")} per hour
      {attention > 0 && (
        <>
          ,{" "}
          <strong>
            {attention} {attention === 1 ? "needs" : "need"} attention
          </strong>
        </>
      )}
    </p>
  );
}

interface FoundProps {
  readonly items: readonly VappSummary[];
  readonly isCut: boolean;
  readonly machines: readonly Machine[] | undefined;
}

function Found({ items, isCut, machines }: FoundProps) {
  const { q = "", show = "all" } = route.useSearch();
  const navigate = route.useNavigate();
  const search = (next: { q?: string; show?: ServiceFilter }) => void navigate({ search: { q, show, ...next }, replace: true });
  const found = items.filter((vapp) => filters[show].keeps(vapp) && matches(vapp, q));
  const options = Object.entries(filters).map(([value, { label, keeps }]) => ({
    value: value as ServiceFilter,
    label: `${label} ${items.filter(keeps).length}`,
  }));
  return (
    <>
      <div className={classes.tools}>
        <TextInput
          type="search"
          className={classes.search}
          aria-label="Search services"
          placeholder="Name, offering, site or state"
          value={q}
          onChange={(event) => search({ q: event.currentTarget.value })}
        />
        <SegmentedControl<ServiceFilter>
          aria-label="Which services"
          className={classes.filter}
          data={options}
          value={show}
          onChange={(next) => search({ show: next })}
        />
      </div>
      <p className={classes.count} role="status">
        {found.length === items.length ? "" : `${found.length} of ${items.length} shown`}
      </p>
      {found.length === 0 ? (
        <p className={classes.none}>No service is like that. Clear the search, or choose All.</p>
      ) : (
        <ServiceTable vapps={found} machines={machines} />
      )}
      {isCut && <p className={classes.none}>Only the first {items.length} are shown; `strat vapp ls` lists all.</p>}
    </>
  );
}

function matches({ name, offering, site, state }: VappSummary, q: string): boolean {
  const words = q.toLowerCase().split(/\s+/);
  return words.every((word) => [name, offering, site, state].some((text) => text.toLowerCase().includes(word)));
}
