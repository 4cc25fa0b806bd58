/** Writes the types of the SDK, made of the OpenAPI document. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import openapiTypescript, { astToString } from "openapi-typescript";

const root = new URL("..", import.meta.url).pathname;
const document = JSON.parse(readFileSync(join(root, "docs/api/openapi.json"), "utf8")) as Parameters<typeof openapiTypescript>[0];
const types = astToString(await openapiTypescript(document, { defaultNonNullable: false }));

writeFileSync(
  join(root, "src/sdk/schema.generated.ts"),
  `/** Generated from docs/api/openapi.json by tools/generate-sdk.ts. */\n\n${types}`,
);
