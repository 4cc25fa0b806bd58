/**
 * `npm run dev`: a control plane with a simulated site and a deployed vApp, and the console from Vite's development server, which shows a
 * change of `src/web` as soon as it is saved. Ctrl-C ends the development server; the control plane goes on (`npm run dev -- --down`).
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createServer } from "vite";
import { root, runProgram } from "./suites.ts";

const args = process.argv.slice(2);
const demo = ["src/cli/main.ts", "demo", "--site", "sim", "--port", "0", ...args];
const code = await runProgram(process.execPath, demo);
if (code !== 0 || args.some((arg) => ["--down", "--purge", "--help", "-h", "--json"].includes(arg))) process.exit(code);

const home = resolve(root, process.env["STRATIFORM_HOME"] ?? ".cache/dev");
const { url } = JSON.parse(readFileSync(join(home, "control.json"), "utf8")) as { url: string };
const server = await createServer({
  configFile: join(root, "vite.config.ts"),
  server: { host: "127.0.0.1", proxy: { "/v1": { target: url, ws: true } } },
});
await server.listen();
console.log(
  `\nconsole   ${server.resolvedUrls?.local[0] ?? "?"}\nAPI       ${url}\ntoken     ${readFileSync(join(home, "admin.token"), "utf8").trim()}`,
);
