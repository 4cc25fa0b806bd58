/**
 * What one layer is made of: for each thing its attributes, desired beside observed. A difference, and what was not seen lately, is said
 * in words beside the value. Where something differs only that is shown until all is asked for.
 */
import { Button } from "@mantine/core";
import { useState } from "react";
import { attribute, counted, factText } from "../format.ts";
import type { LayerItem, LayerView } from "../query.ts";
import { Age } from "./Age.tsx";
import { ToneSign } from "./StateBadge.tsx";
import classes from "./LayerItems.module.css";

export interface LayerItemsProps {
  readonly layer: LayerView["layer"];
  readonly items: readonly LayerItem[];
}

const columns = ["Of", "Attribute", "Desired", "Observed", "Source and age", "Why", "If it goes"] as const;
/** A page must stay a page; the API has the rest. */
const itemsShown = 300;

export function LayerItems({ layer, items }: LayerItemsProps) {
  const [showsAll, setShowsAll] = useState(false);
  const differing = items.filter(({ agrees }) => agrees === false);
  const isPart = differing.length > 0 && differing.length < items.length;
  const shown = (isPart && !showsAll ? differing : items).slice(0, itemsShown);
  const bySubject = [...Map.groupBy(shown, ({ subject }) => `${subject.kind} ${subject.name}`).values()];
  return (
    <>
      <table role="table" className={classes.table} aria-label={`Facts of the ${layer} layer`}>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <th key={column} role="columnheader" scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        {bySubject.map((group) => (
          <tbody key={`${group[0]!.subject.kind} ${group[0]!.subject.name}`} role="rowgroup" className={classes.group}>
            {group.map((item, index) => (
              <Item key={item.name} item={item} rowsOfSubject={index === 0 ? group.length : null} />
            ))}
          </tbody>
        ))}
      </table>
      {isPart && (
        <Button className={classes.more} size="compact-sm" variant="default" onClick={() => setShowsAll(!showsAll)}>
          {showsAll ? `Only the ${differing.length} that differ` : `All ${counted(items.length, "fact")} of this layer`}
        </Button>
      )}
      {shown.length === itemsShown && <p className={classes.faint}>There may be more; `strat vapp show --layers` tells all.</p>}
    </>
  );
}

/** The first row of a subject names it for all its rows. */
function Item({ item, rowsOfSubject }: { readonly item: LayerItem; readonly rowsOfSubject: number | null }) {
  return (
    <tr role="row" className={classes.item} data-differs={item.agrees === false}>
      {rowsOfSubject !== null && (
        <th role="rowheader" scope="rowgroup" rowSpan={rowsOfSubject} className={classes.subject}>
          {item.subject.name} <span className={classes.faint}>{item.subject.kind}</span>
        </th>
      )}
      <th role="rowheader" scope="row">
        {attribute(item.name)}
      </th>
      <td role="cell" data-label="Desired">
        {item.desired === null ? <span className={classes.faint}>not demanded</span> : factText(item.desired)}
      </td>
      <td role="cell" data-label="Observed">
        {item.observed === null ? <span className={classes.faint}>not seen</span> : <span>{factText(item.observed)}</span>}
        {item.agrees === false && (
          <span className={classes.differs}>
            <ToneSign tone="bad" /> differs
          </span>
        )}
      </td>
      <td role="cell" data-label="Source">
        <Origin item={item} />
      </td>
      <td role="cell" data-label="Why">
        {item.why === null ? <span className={classes.faint}>nobody asked for it</span> : <Why why={item.why} />}
      </td>
      <td role="cell" data-label="If it goes">
        {item.impact ?? <span className={classes.faint}>nothing breaks</span>}
      </td>
    </tr>
  );
}

function Origin({ item: { observedAt, source, stale } }: { readonly item: LayerItem }) {
  return (
    <span>
      {observedAt !== null && <Age at={observedAt} />}
      {source !== null && <span className={classes.faint}> {source}</span>}
      {source === null && observedAt === null && <span className={classes.faint}>nobody looked</span>}
      {stale && (
        <span className={classes.stale}>
          <ToneSign tone="warn" /> old
        </span>
      )}
    </span>
  );
}

function Why({ why }: { readonly why: NonNullable<LayerItem["why"]> }) {
  const by = [why.process, why.principal === null ? null : `by ${why.principal}`].filter((part) => part !== null).join(" ");
  return (
    <span title={[why.order, why.policy].filter((part) => part !== null).join("; ")}>
      {why.text}
      {by !== "" && !why.text.includes(by) && <span className={classes.faint}> ({by})</span>}
    </span>
  );
}
