/** Writes the OpenAPI document: what `GET /v1/openapi.json` answers, readable in the clone and the source of the SDK's types. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { openapiDocument } from "#api/openapi.ts";

const root = new URL("..", import.meta.url).pathname;
const file = join(root, "docs/api/openapi.json");
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };

mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, `${JSON.stringify(openapiDocument(version), null, 2)}\n`);
