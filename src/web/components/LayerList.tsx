/** The seven layers, always all of them; each opens to what is desired in it and what was observed. */
import { UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { counted } from "../format.ts";
import type { LayerView } from "../query.ts";
import { Chevron } from "./Chevron.tsx";
import { LayerItems } from "./LayerItems.tsx";
import { StateBadge } from "./StateBadge.tsx";
import classes from "./LayerList.module.css";

export function LayerList({ layers }: { readonly layers: readonly LayerView[] }) {
  // Only what somebody chose is kept: until then a layer that differs is open, and closes again when it is as desired.
  const [chosen, setChosen] = useState<ReadonlyMap<string, boolean>>(new Map());
  return (
    <ul className={classes.list}>
      {layers.map((layer) => {
        const isOpen = chosen.get(layer.layer) ?? layer.state === "differs";
        const toggle = () => setChosen((before) => new Map([...before, [layer.layer, !isOpen]]));
        return <LayerEntry key={layer.layer} view={layer} isOpen={isOpen} onToggle={toggle} />;
      })}
    </ul>
  );
}

interface LayerEntryProps {
  readonly view: LayerView;
  readonly isOpen: boolean;
  onToggle(): void;
}

function LayerEntry({ view: { layer, state, summary, items }, isOpen, onToggle }: LayerEntryProps) {
  const details = `layer-${layer}`;
  return (
    <li className={classes.layer}>
      <UnstyledButton className={classes.toggle} aria-expanded={isOpen} aria-controls={isOpen ? details : undefined} onClick={onToggle}>
        <Chevron isOpen={isOpen} />
        <span className={classes.name}>{layer}</span>
        <StateBadge noun="layer" state={state} />
        <span className={classes.summary}>{summary}</span>
        <span className={classes.count}>{counted(items.length, "fact")}</span>
      </UnstyledButton>
      {isOpen && (
        <div id={details} className={classes.details}>
          {items.length === 0 ? (
            <p className={classes.none}>There is nothing in this layer.</p>
          ) : (
            <LayerItems layer={layer} items={items} />
          )}
        </div>
      )}
    </li>
  );
}
