/** What a page keeps in its address behind the question mark. */
export const serviceFilters = ["all", "attention", "changing", "stopped"] as const;
export type ServiceFilter = (typeof serviceFilters)[number];

export interface ServicesSearch {
  /** Part of a name, an offering, a site or a state. */
  readonly q?: string;
  readonly show?: ServiceFilter;
}

export function servicesSearch(search: Record<string, unknown>): ServicesSearch {
  const show = serviceFilters.find((filter) => filter === search["show"]);
  return {
    ...(typeof search["q"] === "string" && search["q"] !== "" && { q: search["q"] }),
    ...(show !== undefined && show !== "all" && { show }),
  };
}

export interface VappSearch {
  /** The run whose steps are shown; default: the one that holds the vApp, else the last. */
  readonly run?: string;
}

export function vappSearch(search: Record<string, unknown>): VappSearch {
  return typeof search["run"] === "string" && /^run_[\w-]{1,60}$/.test(search["run"]) ? { run: search["run"] } : {};
}
