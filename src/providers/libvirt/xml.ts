/** Building and reading XML. Building is by template with escaping, so that the documents in this folder look like those in libvirt's manual. */
import { XMLParser } from "fast-xml-parser";
import { AppError } from "#domain/error.ts";

const escapes: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };

/** For text and attribute values. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => escapes[character] ?? character);
}

const attributesKey = ":@";
const textKey = "#text";
const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: "",
  parseTagValue: false,
  parseAttributeValue: false,
});

/** One element. Missing things read as null or an empty list, so that paths can be walked without checks at each step. */
export class XmlElement {
  readonly name: string;
  readonly #attributes: Readonly<Record<string, unknown>>;
  readonly #children: readonly unknown[];

  constructor(name: string, attributes: Readonly<Record<string, unknown>>, children: readonly unknown[]) {
    this.name = name;
    this.#attributes = attributes;
    this.#children = children;
  }

  attribute(name: string): string | null {
    const value = this.#attributes[name];
    return value === undefined ? null : String(value);
  }

  get text(): string {
    return this.#children.map((child) => (isRecord(child) && textKey in child ? String(child[textKey]) : "")).join("");
  }

  get children(): XmlElement[] {
    return elementsOf(this.#children);
  }

  all(name: string): XmlElement[] {
    return this.children.filter((child) => child.name === name);
  }

  /** First element at a path like `devices/emulator`. */
  at(path: string): XmlElement | null {
    const [first = "", ...rest] = path.split("/");
    let here = this.all(first)[0] ?? null;
    for (const name of rest) here = here?.all(name)[0] ?? null;
    return here;
  }
}

/** The root element; `endpoint_refused` when it is not what was asked for. */
export function parseXml(text: string, root: string): XmlElement {
  let found: XmlElement | undefined;
  try {
    const parsed: unknown = parser.parse(text);
    found = elementsOf(Array.isArray(parsed) ? parsed : []).find((element) => element.name === root);
  } catch (cause) {
    throw new AppError("endpoint_refused", "the endpoint sent a description that cannot be read", { cause, internal: String(cause) });
  }
  if (found === undefined)
    throw new AppError("endpoint_refused", "the endpoint sent a description that cannot be read", { internal: `no <${root}>` });
  return found;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function elementsOf(nodes: readonly unknown[]): XmlElement[] {
  return nodes.filter(isRecord).flatMap((node) => {
    const name = Object.keys(node).find((key) => key !== attributesKey && key !== textKey);
    if (name === undefined) return [];
    const attributes = node[attributesKey];
    const children = node[name];
    return [new XmlElement(name, isRecord(attributes) ? attributes : {}, Array.isArray(children) ? children : [])];
  });
}
