/**
 * The console's files, for browsers. Whoever may reach the API may load them: they hold nothing of an installation, and every answer the
 * console then shows is asked for with a token. Only what no route of the API takes comes here, so API routes are unaffected.
 *
 * A page gets a content security policy that allows this server's own files and nothing else: no inline script, and only those inline
 * styles that carry the page's nonce.
 */
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

/** The folder the console was built into, or what a reader should know while there is none. */
export type ConsoleFiles = { readonly folder: string } | { readonly building: boolean; readonly hint: string };

/** Asked anew for every page, because a clone builds its console while the control plane already answers. */
export type ConsoleFind = () => ConsoleFiles;

export const consoleNotBuilt: ConsoleFind = () => ({
  building: false,
  hint: "The console is not part of this process. Run `strat up` in a clone, or install what `npm run build` makes.",
});

const assetSeconds = 365 * 24 * 60 * 60;
const longestPath = 200;
const noncePlaceholder = "STRATIFORM_NONCE";

export function registerConsole(app: FastifyInstance): void {
  app.register(fastifyStatic, { serve: false, preCompressed: true });
}

/** Whether the console answers this request: one that no route takes, for something a browser shows. */
export function isForConsole(request: FastifyRequest, find: ConsoleFind): boolean {
  if (!request.is404 || (request.method !== "GET" && request.method !== "HEAD")) return false;
  const path = pathOf(request);
  if (path === "/v1" || path.startsWith("/v1/") || path.length > longestPath) return false;
  return path === "/" || wantsPage(request) || isFile(find(), path);
}

export function answerConsole(request: FastifyRequest, reply: FastifyReply, find: ConsoleFind): FastifyReply {
  const files = find();
  const path = pathOf(request);
  reply.header("x-content-type-options", "nosniff").header("referrer-policy", "no-referrer");
  if (!("folder" in files)) return sendPlainPage(reply, files);
  if (!existsSync(join(files.folder, "index.html")))
    return sendPlainPage(reply, { building: false, hint: "Its files were removed. Start again." });
  if (isFile(files, path)) {
    // The name of an asset holds a hash of its content, so it never changes.
    const isHashed = path.startsWith("/assets/");
    reply.header("cache-control", isHashed ? `public, max-age=${assetSeconds}, immutable` : "no-cache");
    return reply.sendFile(path.slice(1), files.folder, { cacheControl: false });
  }
  // A page of before an upgrade asks for assets that are gone: an answer that is a page would only be mistaken for a script.
  if (path.startsWith("/assets/")) return reply.code(404).type("text/plain; charset=utf-8").send("There is no such file.\n");
  return sendIndex(reply, files.folder);
}

/** Every page of the console is this one; the path in the address bar is the console's business. */
function sendIndex(reply: FastifyReply, folder: string): FastifyReply {
  const nonce = randomBytes(16).toString("base64");
  const page = readFileSync(join(folder, "index.html"), "utf8").replaceAll(noncePlaceholder, nonce);
  return sendPage(
    reply,
    page,
    `script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data:; font-src 'self'; connect-src 'self'`,
  );
}

function sendPlainPage(reply: FastifyReply, { building, hint }: { building: boolean; hint: string }): FastifyReply {
  const refresh = building ? `<meta http-equiv="refresh" content="2">` : "";
  const text = building ? "The console is being built; this page shows it in a few seconds." : "The console is not built.";
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">${refresh}<title>Stratiform</title>
<h1>Stratiform</h1><p>${text}</p><p>${escaped(hint)}</p><p>The API answers under /v1, for example to <code>strat vapp ls</code>.</p></html>\n`;
  return sendPage(reply.code(building ? 200 : 503), page, "");
}

function sendPage(reply: FastifyReply, page: string, allowed: string): FastifyReply {
  const policy = ["default-src 'none'", allowed, "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"];
  return reply
    .header("cache-control", "no-cache")
    .header("content-security-policy", policy.filter((part) => part !== "").join("; "))
    .header("cross-origin-opener-policy", "same-origin")
    .type("text/html; charset=utf-8")
    .send(page);
}

function pathOf(request: FastifyRequest): string {
  return request.url.split("?", 1)[0]!;
}

function wantsPage(request: FastifyRequest): boolean {
  return (request.headers.accept ?? "").includes("text/html");
}

/** Plain names only: no percent signs, no dots at the start of a part, so nothing outside the folder can be meant. */
function isFile(files: ConsoleFiles, path: string): boolean {
  if (!("folder" in files) || path === "/index.html" || !/^(\/[\w-][\w.-]*)+$/.test(path)) return false;
  const file = join(files.folder, path);
  return existsSync(file) && statSync(file).isFile();
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll("`", "");
}
