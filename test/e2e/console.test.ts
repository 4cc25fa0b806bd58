/**
 * The console in a browser, against a control plane as it is started and a simulated site: signing in, what is there, what happens while
 * one looks, and that everybody can use it. Verdicts come from what is on the screen, by the names a screen reader would say.
 */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ask, type Schemas } from "#sdk/client.ts";
import { buildWeb } from "../../tools/build-web.ts";
import { startBrowser, type ColorScheme, type TestBrowser, type TestTab } from "../support/browser.ts";
import { startTestControlPlane, type TestControlPlane } from "../support/control-plane.ts";

/** Until an event has come through to the screen, on a busy machine. */
const shownWithinMs = 10_000;

let plane: TestControlPlane;
let browser: TestBrowser;
let opened: TestTab[] = [];

beforeAll(async () => {
  const { folder } = await buildWeb();
  [plane, browser] = await Promise.all([startTestControlPlane({ endpoints: ["a", "b"], findConsole: () => ({ folder }) }), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await plane?.close();
});

/** No page of any test may have complained. */
afterEach(async () => {
  const tabs = opened;
  opened = [];
  for (const { page, complaints } of tabs) {
    await page.context().close();
    expect(complaints).toEqual([]);
  }
});

async function tab(options: Parameters<TestBrowser["open"]>[0] = {}): Promise<TestTab> {
  const made = await browser.open(options);
  made.page.setDefaultTimeout(shownWithinMs);
  opened.push(made);
  return made;
}

async function signIn(page: Page, path = "/", token = plane.token, url = plane.url): Promise<void> {
  await page.goto(url + path);
  await page.getByLabel("Token", { exact: true }).fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

const heading = (page: Page, name: string) => page.getByRole("heading", { name, exact: true });
const service = (page: Page, name: string) => page.getByRole("table", { name: "Services" }).getByRole("row").filter({ hasText: name });
const machine = (page: Page, name: string) => page.getByRole("table", { name: "Machines" }).getByRole("row").filter({ hasText: name });

interface Wire {
  readonly url: string;
  /** Breaks every connection and refuses new ones. */
  cut(): Promise<void>;
  mend(): Promise<void>;
}

/** A wire to the control plane that can be cut. */
async function startWire(target: number): Promise<Wire> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(target, "127.0.0.1");
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.pipe(other);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
  });
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  await listen(0);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async cut() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
    mend: () => listen(port),
  };
}

function order(action: string, vapp: string): Promise<Schemas["Order"]> {
  return ask(plane.client.POST("/v1/orders", { body: { action, vapp, input: {} } }));
}

async function machinesOf(vapp: string): Promise<Schemas["Machine"][]> {
  return (await ask(plane.client.GET("/v1/vapps/{vapp}", { params: { path: { vapp } } }))).machines;
}

describe("signing in", () => {
  test("a wrong token is refused in the server's words, with what to do instead; the right one leads on", async () => {
    const { page } = await tab();
    await signIn(page, "/", "strat_wrong");
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.textContent()).toContain("a valid token is required");
    expect(await alert.textContent()).toContain("admin.token");
    await page.getByLabel("Token", { exact: true }).fill(plane.token);
    await page.keyboard.press("Enter");
    await heading(page, "Services").waitFor();
    expect(new URL(page.url()).pathname).toBe("/services");
  });

  test("the token is kept for the tab only, and signing out forgets it", async () => {
    const { page } = await tab();
    await signIn(page);
    await heading(page, "Services").waitFor();
    expect(await page.evaluate("JSON.stringify(localStorage) + document.cookie")).not.toContain(plane.token);
    await page.getByRole("button", { name: "Sign out" }).click();
    await heading(page, "Sign in to Stratiform").waitFor();
    expect(await page.evaluate("JSON.stringify(sessionStorage)")).not.toContain(plane.token);
  });

  test("a token that is revoked while one looks asks for another", async () => {
    const token = await plane.principal("visitor", "member");
    const { page } = await tab();
    await signIn(page, "/", token);
    await heading(page, "Services").waitFor();
    await plane.sql("update token set revoked_at = now() from principal p where p.id = principal_id and p.name = 'visitor'");
    await page.reload();
    await heading(page, "Sign in to Stratiform").waitFor();
    expect(await page.getByRole("alert").textContent()).toContain("Your session has ended");
  });
});

describe("an installation without services", () => {
  test.each(["light", "dark"] as const)("says what to do, in %s", async (scheme) => {
    const { page, axe } = await tab({ scheme });
    await page.goto(plane.url);
    await heading(page, "Sign in to Stratiform").waitFor();
    expect(await axe()).toEqual([]);
    await signIn(page);
    await heading(page, "Nothing runs here yet").waitFor();
    await page.getByText("strat order tiny").waitFor();
    expect(await axe()).toEqual([]);
  });
});

describe("services", () => {
  test("appear while one looks, with state, machines, cost and site, and go through search and filter", async () => {
    const { page } = await tab();
    await signIn(page);
    await heading(page, "Nothing runs here yet").waitFor();
    await plane.deploy("blog");
    const stopped = await plane.deploy("archive");
    await plane.waitFor(await order("stop", stopped.vapp));

    await service(page, "blog").getByText("2 running").waitFor();
    await service(page, "archive").getByText("2 stopped").waitFor();
    const { costPerHour, currency } = await ask(plane.client.GET("/v1/vapps/{vapp}", { params: { path: { vapp: "blog" } } }));
    const blog = await service(page, "blog").textContent();
    expect(blog).toContain(`${Number(costPerHour).toFixed(6)} ${currency}`);
    expect(blog).toContain("active");
    expect(blog).toContain("tiny@1.0.0");
    expect(blog).toContain("sim");

    await page.getByRole("searchbox", { name: "Search services" }).fill("arch");
    await service(page, "blog").waitFor({ state: "detached" });
    await page.getByText("1 of 2 shown").waitFor();
    await page.reload();
    await service(page, "archive").waitFor();
    expect(await service(page, "blog").count()).toBe(0);
    await page.getByRole("searchbox", { name: "Search services" }).fill("");
    await page.getByText("Stopped 1").click();
    await service(page, "blog").waitFor({ state: "detached" });
    expect(await service(page, "archive").count()).toBe(1);
  });

  test("are reached with the keyboard alone", async () => {
    const { page } = await tab();
    await signIn(page, "/services");
    await service(page, "blog").waitFor();
    await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.textContent")).toBe("Skip to the content");
    await page.keyboard.press("Enter");
    for (let presses = 0; presses < 10; presses++) {
      await page.keyboard.press("Tab");
      if ((await page.evaluate("document.activeElement.textContent")) === "blog") break;
    }
    await page.keyboard.press("Enter");
    await heading(page, "blog").waitFor();
  });
});

describe("the page of a vApp", () => {
  test("is reached by its address and survives a reload; it shows where to open it, machines, facts and layers", async () => {
    const { page } = await tab();
    await signIn(page, "/services/blog");
    await heading(page, "blog").waitFor();
    await page.reload();
    await heading(page, "blog").waitFor();
    const vapp = await ask(plane.client.GET("/v1/vapps/{vapp}", { params: { path: { vapp: "blog" } } }));
    expect(await page.getByRole("link", { name: /^127\.0\.0\.1:\d+$/ }).getAttribute("href")).toBe(vapp.exposures[0]!.url);

    const edge = vapp.machines.find(({ tier }) => tier === "edge")!;
    expect(await machine(page, "edge-0").textContent()).toContain(edge.addresses[0]!.address);
    await page.getByRole("button", { name: /^edge-0/ }).click();
    await page.getByText(edge.reason).waitFor();
    const facts = page.getByRole("region", { name: "Facts about edge-0" });
    expect(await facts.getByRole("row").filter({ hasText: "power" }).textContent()).toMatch(/running.*(ago|just now), sim:[ab]/);

    const layers = ["access", "application", "processing", "storage", "network", "management", "security"];
    for (const layer of layers) await page.getByRole("button", { name: new RegExp(`^${layer} `, "i") }).waitFor();
    const processing = page.getByRole("button", { name: /^processing /i });
    if ((await processing.getAttribute("aria-expanded")) === "false") await processing.click();
    await page
      .getByRole("table", { name: "Facts of the processing layer" })
      .getByRole("row")
      .filter({ hasText: "power" })
      .first()
      .waitFor();
    expect(await page.getByText("From outside,").textContent()).toContain("of machine edge-0");
    expect(await page.getByText("Tier edge needs tier node.").count()).toBe(1);
  });

  test("a vApp that is not there is told as the server tells it", async () => {
    const { page } = await tab();
    await signIn(page, "/services/nobody");
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.textContent()).toContain("nobody");
    expect(await alert.textContent()).toContain("not_found");
  });

  test("a run is followed while it goes on, and its end is seen", async () => {
    await plane.sim.faultAdd({ operation: "machineEnsure", delayMs: 3_000, times: 2 });
    const { page } = await tab();
    await signIn(page, "/services");
    await service(page, "blog").waitFor();
    const placed = await ask(plane.client.POST("/v1/orders", { body: { action: "deploy", input: { offering: "tiny", name: "fresh" } } }));
    await service(page, "fresh").getByText("provisioning").waitFor();
    await page.getByRole("link", { name: "fresh", exact: true }).click();
    await heading(page, "Under way: deploy").waitFor();
    const steps = page.getByRole("list", { name: "Steps of the run deploy" });
    await steps.getByRole("listitem").filter({ hasText: "Create VM node-0" }).getByText("running").waitFor();
    expect((await plane.waitFor(placed)).state).toBe("succeeded");
    await heading(page, "Run: deploy").waitFor();
    await page.getByText("succeeded").first().waitFor();
    await page.getByText("active", { exact: true }).waitFor();
    expect(await steps.getByText("running").count()).toBe(0);
  });

  test("a machine killed behind our back is shown, and its repair, without a reload", async () => {
    const { page } = await tab();
    await signIn(page, "/services/fresh");
    await machine(page, "node-0").getByText("running").waitFor();
    await page.evaluate("window.isSamePage = true");
    const killed = (await machinesOf("fresh")).find(({ name }) => name === "node-0")!;
    const since = performance.now();
    await plane.sim.machineKill(killed.endpoint, killed.externalName);
    await machine(page, "node-0").getByText("crashed").waitFor();
    expect(performance.now() - since).toBeLessThan(shownWithinMs);
    await page
      .getByRole("link", { name: /^Repair fresh/ })
      .first()
      .waitFor();
    await machine(page, "node-0").getByText("running").waitFor();
    expect(await page.evaluate("window.isSamePage")).toBe(true);
  });

  test("a control plane that goes away is said to be away, and what was shown stays", async () => {
    const wire = await startWire(Number(new URL(plane.url).port));
    try {
      const { page } = await tab();
      await signIn(page, "/services/blog", plane.token, wire.url);
      await page.getByText("Live", { exact: true }).waitFor();
      await heading(page, "blog").waitFor();
      await wire.cut();
      await page.getByText("Reconnecting", { exact: true }).waitFor();
      await page.getByText("What is shown may be old").first().waitFor();
      await heading(page, "blog").waitFor();
      await wire.mend();
      await page.getByText("Live", { exact: true }).waitFor();
      await page.getByText("What is shown may be old").first().waitFor({ state: "detached" });
    } finally {
      await wire.cut();
    }
  });
});

/** A line that is in the document need not be on the screen: the picture must change when lines are hidden. */
async function linesArePainted(page: Page): Promise<boolean> {
  const drawing = page.locator(".react-flow");
  const shown = await drawing.screenshot();
  await page.evaluate(`document.querySelector(".react-flow__edges").style.visibility = "hidden"`);
  return !(await drawing.screenshot()).equals(shown);
}

describe("everybody can use it", () => {
  const schemes: readonly ColorScheme[] = ["light", "dark"];
  const widths = [1400, 400];
  test.each(schemes.flatMap((scheme) => widths.map((width) => ({ scheme, width }))))("$scheme, $width wide", async ({ scheme, width }) => {
    const { page, axe } = await tab({ scheme, width });
    await signIn(page, "/services");
    await service(page, "blog").waitFor();
    expect(await axe()).toEqual([]);
    await page.getByRole("link", { name: "fresh", exact: true }).click();
    await page.getByRole("button", { name: /^node-0/ }).click();
    await page.getByRole("button", { name: /^network /i }).click();
    await page
      .getByRole("link", { name: /^Repair fresh/ })
      .first()
      .click();
    await heading(page, "Run: repair").waitFor();
    expect(await axe()).toEqual([]);
    expect(await linesArePainted(page)).toBe(true);
    // Nothing reaches over the edge: who looks on a telephone scrolls in one direction only.
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
  });
});

describe("how it is served", () => {
  test("pages are fresh and strict, assets are for ever, and the API is as closed as before", async () => {
    const page = await plane.request("GET", "/services/blog", { token: null, headers: { accept: "text/html" } });
    expect(page.status).toBe(200);
    expect(page.headers.get("cache-control")).toBe("no-cache");
    const policy = page.headers.get("content-security-policy")!;
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self' 'nonce-");
    expect(policy).not.toContain("unsafe");
    const nonce = /'nonce-([^']+)'/.exec(policy)![1]!;
    expect(page.text).toContain(nonce);
    expect(page.text).not.toContain("STRATIFORM_NONCE");
    const again = await plane.request("GET", "/", { token: null });
    expect(again.text).not.toContain(nonce);

    const script = /src="(\/assets\/[^"]+\.js)"/.exec(page.text)![1]!;
    const asset = await plane.request("GET", script, { token: null });
    expect(asset.status).toBe(200);
    expect(asset.headers.get("content-type")).toContain("javascript");
    expect(asset.headers.get("cache-control")).toContain("immutable");
    const gone = await plane.request("GET", "/assets/gone.js", { token: null, headers: { accept: "text/html" } });
    expect([gone.status, gone.headers.get("content-type")]).toEqual([404, "text/plain; charset=utf-8"]);

    for (const path of ["/v1/nothing", "/v1", "/v1/vapps", "/nothing", "/../package.json", "/assets/%2e%2e/index.html", "/index.html"]) {
      const answer = await plane.request("GET", path, { token: null });
      expect(answer.status, path).toBe(401);
    }
    expect((await plane.request("GET", "/v1/nothing", { headers: { accept: "text/html" } })).status).toBe(404);
    expect((await plane.request("POST", "/", { token: null, headers: { accept: "text/html" } })).status).toBe(401);
  });
});
