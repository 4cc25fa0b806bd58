/** The first look at a vApp: how it is, where to open it, what it costs. */
import { Anchor } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { amount, factText, perMonth } from "../format.ts";
import type { Vapp } from "../query.ts";
import { meaningOf } from "../state.ts";
import { Age } from "./Age.tsx";
import { StateBadge } from "./StateBadge.tsx";
import classes from "./VappHead.module.css";

export function VappHead({ vapp }: { readonly vapp: Vapp }) {
  const parameters = factText(vapp.parameters);
  const exposures = vapp.exposures.filter(({ state }) => state !== "removed");
  const urls = exposures.flatMap(({ url }) => (url === null ? [] : [url]));
  return (
    <header className={classes.head}>
      <nav aria-label="Breadcrumb" className={classes.crumbs}>
        <Link to="/services">Services</Link>
        <span aria-hidden="true">/</span>
        <span aria-current="page">{vapp.name}</span>
      </nav>
      <div className={classes.titleLine}>
        <h1>{vapp.name}</h1>
        <StateBadge noun="vapp" state={vapp.state} />
        <span className={classes.sentence}>
          {meaningOf("vapp", vapp.state).sentence}. Wanted: {vapp.desired}.
        </span>
      </div>
      <dl className={classes.figures}>
        <Figure name="Open at">
          {urls.length === 0
            ? exposures.length === 0
              ? "nothing is exposed"
              : "no address yet"
            : urls.map((url) => (
                <Anchor key={url} href={url} target="_blank" rel="noreferrer" className={classes.url}>
                  {url.replace(/^http:\/\//, "").replace(/\/$/, "")}
                  <Outward />
                </Anchor>
              ))}
        </Figure>
        <Figure name="Cost" note={`${perMonth(vapp.costPerHour)} ${vapp.currency} a month`}>
          {amount(vapp.costPerHour)} {vapp.currency} <span className={classes.unit}>per hour</span>
        </Figure>
        <Figure name="Made of" {...(parameters !== "" && parameters !== "none" && { note: parameters })}>
          {vapp.offering}
        </Figure>
        <Figure name="Site" note={`project ${vapp.project}`}>
          {vapp.site}
        </Figure>
        <Figure name="Ordered" note={`generation ${vapp.generation}`}>
          <Age at={vapp.createdAt} />
        </Figure>
      </dl>
    </header>
  );
}

function Figure({ name, note, children }: { readonly name: string; readonly note?: string; readonly children: ReactNode }) {
  return (
    <div className={classes.figure}>
      <dt>{name}</dt>
      <dd>
        {children}
        {note !== undefined && <span className={classes.note}>{note}</span>}
      </dd>
    </div>
  );
}

function Outward() {
  return (
    <svg viewBox="0 0 12 12" width="11" height="11" aria-hidden="true" focusable="false">
      <path
        d="M4.5 2.5H2.2v7.3h7.3V7.5M6.6 1.9h3.5v3.5M9.8 2.2 5.4 6.6"
        fill="none"
        stroke="currentColor"
        strokeWidth="1.4"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
