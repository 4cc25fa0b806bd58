/** The seven layers of a vApp for people: what is desired, what was seen, by whom and how long ago; one layer also with why and impact. */
import { stripVTControlCharacters, styleText } from "node:util";
import { ask, type Schemas } from "#sdk/client.ts";
import { CliError, exitCodes } from "#cli/exit.ts";
import { faint, type Session, strong } from "#cli/session.ts";
import { age } from "#cli/text.ts";

type Layers = Schemas["VappLayers"];
type Layer = Schemas["Layer"];
type Item = Schemas["LayerItem"];

/** What fits the narrowest terminal people use for this. */
const columns = 100;
const subjectMax = 20;
const nameMax = 22;
const valueMin = 24;
const indent = 5;

export async function showLayers(session: Session, vapp: string, layer: string | undefined): Promise<void> {
  const view = await ask(session.client.GET("/v1/vapps/{vapp}/layers", { params: { path: { vapp } } }));
  const chosen = chosenLayers(view, layer);
  session.show(chosen, () => layersText(chosen, Date.now(), layer !== undefined));
}

/** All layers, or the one asked for. Throws when there is no such layer. */
export function chosenLayers(view: Layers, name: string | undefined): Layers {
  if (name === undefined) return view;
  const layer = view.layers.find((candidate) => candidate.layer === name);
  if (layer !== undefined) return { ...view, layers: [layer] };
  throw new CliError(exitCodes.usage, `there is no layer "${name}"; there are ${view.layers.map((one) => one.layer).join(", ")}`);
}

/** `detailed`: why each value is desired, and what breaks if the thing goes. */
export function layersText(view: Layers, now: number, detailed: boolean): string {
  const title = `${strong(view.vapp)}  ${view.layers.length === 1 ? "one layer" : `${view.layers.length} layers`} as of ${clock(view.at)}`;
  const legend = faint("= as desired   != differs   ? not known now   (blank) shown because it is so");
  return [`${title}\n${legend}`, ...view.layers.map((layer) => layerText(layer, now, detailed))].join("\n\n");
}

function layerText(layer: Layer, now: number, detailed: boolean): string {
  const head = `${strong(layer.layer.toUpperCase())}  ${stateText(layer.state)}`;
  const summary = wrapped(layer.summary, columns - 2).map((line) => `  ${line}`);
  return [head, ...summary, ...itemLines(layer.items, now, detailed)].join("\n");
}

function itemLines(items: readonly Item[], now: number, detailed: boolean): string[] {
  const subject = widest(items, ({ subject: { name } }) => name, subjectMax);
  const name = widest(items, (item) => item.name, nameMax);
  const seenWidth = widest(items, (item) => seenText(item, now), columns);
  // The value takes what is left; where that is too little, source and age go below it.
  const left = columns - indent - subject - name - 4;
  const beside = left - seenWidth - 2 >= valueMin;
  const width = beside ? left - seenWidth - 2 : left;
  return items.flatMap((item) => {
    const values = wrapped(valueText(item), width);
    const names = wrapped(item.name, name);
    const subjects = wrapped(item.subject.name, subject);
    const seen = seenText(item, now);
    const rows = Math.max(values.length, names.length, subjects.length);
    const lines = Array.from({ length: rows }, (_, row) => {
      const cells = [padded(subjects[row] ?? "", subject), padded(names[row] ?? "", name)];
      const value = padded(values[row] ?? "", beside && row === 0 ? width : 0);
      const mark = row === 0 ? markOf(item) : "  ";
      return `  ${mark} ${cells.join("  ")}  ${colourOf(item)(value)}${beside && row === 0 ? `  ${seenColour(item)(seen)}` : ""}`.trimEnd();
    });
    const below = beside ? [] : [`${" ".repeat(indent + subject + name + 4)}${seenColour(item)(seen)}`];
    return [...lines, ...below, ...(detailed ? detailLines(item, subject) : [])];
  });
}

/** Lines below an item begin where its attribute begins. */
function detailLines(item: Item, subject: number): string[] {
  const at = indent + subject + 2;
  const said = (label: string, text: string) =>
    wrapped(text, columns - at - label.length - 1).map((line, row) =>
      faint(`${" ".repeat(at)}${row === 0 ? label : " ".repeat(label.length)} ${line}`),
    );
  return [...(item.why === null ? [] : said("why:", whyText(item.why))), ...(item.impact === null ? [] : said("if it goes:", item.impact))];
}

function whyText({ text, process, principal, policy, order }: NonNullable<Item["why"]>): string {
  const who = [
    ...(process === null ? [] : [`${process} by ${principal ?? "?"}`]),
    ...(policy === null ? [] : [policy]),
    ...(order === null ? [] : [order]),
  ];
  return who.length === 0 ? text : `${text} (${who.join(", ")})`;
}

/** What is; where that is not what is wanted, also what is wanted. */
function valueText(item: Item): string {
  if (item.observed === null) return item.desired === null ? "-" : `wanted ${jsonText(item.desired)}, not seen`;
  return item.agrees === false ? `${jsonText(item.observed)}, wanted ${jsonText(item.desired)}` : jsonText(item.observed);
}

function jsonText(value: unknown): string {
  if (typeof value === "string") return value.replace(/\b(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}):[\d.]+Z/g, "$1 $2 UTC");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (!Array.isArray(value)) return JSON.stringify(value);
  if (value.length === 0) return "none";
  return value
    .map((one) => (Array.isArray(one) ? one.map(jsonText).join(" and ") : jsonText(one)))
    .join(value.some(Array.isArray) ? ", then " : ", ");
}

function seenText(item: Item, now: number): string {
  if (item.source === null) return "";
  // An id of 41 characters says no more than that a run saw it; `--json` has it whole.
  const source = item.source.replace(/^run run_[0-9a-f-]+$/, "run");
  return `${source}, ${age(item.observedAt, now)}${item.stale ? " (stale)" : ""}`;
}

function isUnknown(item: Item): boolean {
  return item.desired !== null && (item.observed === null || item.stale);
}

function markOf(item: Item): string {
  if (item.agrees === false) return styleText("red", "!=");
  if (isUnknown(item)) return styleText("yellow", "? ");
  return item.agrees === true ? styleText("green", "= ") : "  ";
}

function colourOf(item: Item): (text: string) => string {
  if (item.agrees === false) return (text) => styleText("red", text);
  return isUnknown(item) ? (text) => styleText("yellow", text) : (text) => text;
}

function seenColour(item: Item): (text: string) => string {
  return item.stale ? (text) => styleText("yellow", text) : faint;
}

function stateText(state: Layer["state"]): string {
  if (state === "as desired") return styleText("green", state);
  if (state === "differs") return styleText("red", state);
  return state === "unknown" ? styleText("yellow", state) : faint(state);
}

function widest(items: readonly Item[], of: (item: Item) => string, max: number): number {
  return Math.min(max, Math.max(0, ...items.map((item) => of(item).length)));
}

function padded(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - stripVTControlCharacters(text).length));
}

/** At spaces; a word longer than the line is cut. At least one line. */
export function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    let rest = word;
    if (line !== "" && line.length + 1 + rest.length > width) {
      lines.push(line);
      line = "";
    }
    while (rest.length > width) {
      lines.push(rest.slice(0, width));
      rest = rest.slice(width);
    }
    line = line === "" ? rest : `${line} ${rest}`;
  }
  return line === "" && lines.length > 0 ? lines : [...lines, line];
}

function clock(at: string): string {
  return `${at.slice(11, 19)} UTC`;
}
