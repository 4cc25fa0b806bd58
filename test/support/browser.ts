/**
 * Debian's chromium, driven by playwright-core, for tests of the console. Everything a page says against itself is kept: errors on its
 * console, exceptions, and what its content security policy refused; `axe` judges what is on the screen.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";

export type ColorScheme = "light" | "dark";

export interface TestBrowser {
  /** A tab of its own: nothing is shared with another. */
  open(options?: { readonly scheme?: ColorScheme; readonly width?: number; readonly height?: number }): Promise<TestTab>;
  close(): Promise<void>;
}

export interface TestTab {
  readonly page: Page;
  /** Errors and refused content since the tab was opened; a status a page handles itself, such as 401, is no error. */
  readonly complaints: readonly string[];
  /** Rules of axe that what is on the screen breaks, each with the places. */
  axe(): Promise<string[]>;
}

interface AxeResult {
  readonly violations: readonly { readonly id: string; readonly help: string; readonly nodes: readonly { readonly target: unknown }[] }[];
}

const executablePath = "/usr/bin/chromium";
const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const axeRun = `axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] })`;

export async function startBrowser(): Promise<TestBrowser> {
  // As root, chromium does not start with its own sandbox; the pages are ours.
  const browser: Browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  return {
    async open({ scheme = "light", width = 1400, height = 900 } = {}) {
      const context = await browser.newContext({ colorScheme: scheme, viewport: { width, height }, reducedMotion: "reduce" });
      return tabOf(await context.newPage(), context);
    },
    close: () => browser.close(),
  };
}

async function tabOf(page: Page, context: BrowserContext): Promise<TestTab> {
  const complaints: string[] = [];
  page.on("pageerror", (error) => void complaints.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if ((message.type() === "error" || message.type() === "warning") && !text.startsWith("Failed to load resource"))
      complaints.push(`${message.type()}: ${text}`);
  });
  await context.exposeFunction("complain", (text: string) => void complaints.push(text));
  await page.addInitScript(
    `addEventListener("securitypolicyviolation", (event) => complain("policy: " + event.violatedDirective + " " + event.blockedURI))`,
  );
  return {
    page,
    complaints,
    async axe() {
      // Evaluated by the debugger, so the page's policy stays as strict as it is.
      await page.evaluate(axeSource);
      const { violations } = (await page.evaluate(axeRun)) as AxeResult;
      return violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => JSON.stringify(target)).join(" ")}`);
    },
  };
}
