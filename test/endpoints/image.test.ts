/** The image builder on the real host, and what it built on a real (emulated) machine: from the recipe to the first page. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildImage, type BuiltImage, type ImageBuildOptions, type ImageBuildStage } from "#agent/image-build.ts";
import { exec } from "#lib/exec.ts";
import { silentLog } from "#lib/log.ts";
import { qemuNic, startQemu, type TestQemu } from "../support/qemu.ts";

const recipeOf = (name: string) => join(import.meta.dirname, "../../images", name);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** Everything in a cache but remembered package versions. */
const builds = async (cacheDir: string) => (await readdir(cacheDir)).filter((name) => !name.startsWith(".versions-"));

describe("the builder", () => {
  let first: string;
  let second: string;
  beforeAll(async () => {
    first = await mkdtemp(join(tmpdir(), "stratiform-images-"));
    second = await mkdtemp(join(tmpdir(), "stratiform-images-"));
  });
  afterAll(async () => {
    for (const folder of [first, second]) await rm(folder, { recursive: true });
  });

  async function build(cacheDir: string): Promise<{ image: BuiltImage; stages: ImageBuildStage[] }> {
    const stages: ImageBuildStage[] = [];
    const image = await buildImage({ recipe: recipeOf("tiny-edge"), cacheDir, log: silentLog, onProgress: (stage) => stages.push(stage) });
    return { image, stages };
  }

  test("concurrent builders build once, later ones find it, and nothing else is left in the cache", async () => {
    const both = await Promise.all([build(first), build(first)]);
    expect(both[0].image).toEqual(both[1].image);
    expect(both.flatMap(({ stages }) => stages).filter((stage) => stage === "build")).toHaveLength(1);
    const third = await build(first);
    expect(third.image).toEqual(both[0].image);
    expect(third.stages).toEqual(["resolve", "cached"]);
    expect(await builds(first)).toEqual([`tiny-edge-${third.image.recipeHash.slice(0, 16)}`]);
  });

  test("another cache gets the same digest", async () => {
    const digests = async (cacheDir: string) => (await build(cacheDir)).image.variants.map(({ digest }) => digest);
    expect(await digests(second)).toEqual(await digests(first));
  });

  test("an abort ends a build and leaves nothing in the cache", async () => {
    const cacheDir = join(second, "aborted");
    const abort = new AbortController();
    const onProgress = (stage: ImageBuildStage) => stage === "packages" && abort.abort(new Error("enough"));
    const options = { recipe: recipeOf("tiny-edge"), cacheDir, log: silentLog, onProgress, signal: abort.signal };
    await expect(buildImage(options)).rejects.toThrow("enough");
    expect(await builds(cacheDir)).toEqual([]);
  });
});

describe("images on a base tree", () => {
  let folder: string;
  let cacheDir: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "stratiform-layers-"));
    cacheDir = join(folder, "cache");
    await cp(recipeOf("base-debian"), join(folder, "base-debian"), { recursive: true });
    await recipeWrite("one", "echo one > $ROOT/one", ["hello"]);
    await recipeWrite("two", "echo two > $ROOT/two", []);
    await recipeWrite("slow", "sleep 61.25", []);
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function recipeWrite(name: string, script: string, layer: string[]): Promise<void> {
    await mkdir(join(folder, name));
    const packages = { host: [], tools: [], image: [], layer };
    const variants = [{ format: "lxd", file: "tree.tar" }];
    const recipe = {
      name,
      version: "1.0.0",
      summary: name,
      kinds: ["container"],
      architecture: "x86_64",
      base: "debian",
      packages,
      variants,
    };
    await writeFile(join(folder, name, "recipe.yaml"), JSON.stringify(recipe));
    await writeFile(join(folder, name, "build.sh"), `set -e\n${script}\ntar -C "$ROOT" -cf "$OUT/tree.tar" .\n`);
  }
  const build = (name: string, more: Partial<ImageBuildOptions> = {}) =>
    buildImage({ recipe: join(folder, name), cacheDir, log: silentLog, ...more });
  const listed = async (image: BuiltImage) => (await exec("tar", ["-tf", image.variants[0]!.path])).stdout.split("\n");
  const kept = async () =>
    (await builds(cacheDir)).filter((name) => name !== ".packages").map((name) => name.replace(/-[0-9a-f]{16}$/, ""));
  const visible = async () => (await readFile("/proc/mounts", "utf8")).split("\n").filter((line) => line.includes(folder));

  test("side by side they share one base; each has what its recipe adds, properly installed, and nothing of the other", async () => {
    const [one, two] = await Promise.all([build("one"), build("two")]);
    expect((await kept()).toSorted()).toEqual(["base-debian", "one", "two"]);
    expect(await listed(one)).toEqual(
      expect.arrayContaining(["./one", "./usr/bin/hello", "./usr/bin/dpkg", "./var/lib/dpkg/info/hello.list"]),
    );
    expect(await listed(one)).not.toContain("./two");
    expect(await listed(two)).toContain("./two");
    expect(await listed(two)).not.toContain("./usr/bin/hello");
    // The base itself was not written to.
    const base = (await readdir(cacheDir)).find((name) => /^base-debian-[0-9a-f]{16}$/.test(name))!;
    expect(await readdir(join(cacheDir, base, "rootfs"))).not.toEqual(expect.arrayContaining(["one"]));
    expect((await stat(join(cacheDir, base))).mode & 0o077).toBe(0);
    expect(await visible()).toEqual([]);
  });

  test("a build that is ended leaves no process, no mount and no folder", async () => {
    const abort = new AbortController();
    const ended = build("slow", { signal: abort.signal }).catch((error: unknown) => error);
    const running = async () => (await exec("pgrep", ["-f", "^sleep 61.25$"], { okCodes: [0, 1] })).stdout !== "";
    for (let attempt = 0; !(await running()); attempt++) {
      if (attempt > 600) throw new Error("the script did not start");
      await sleep(100);
    }
    expect(await visible()).toEqual([]);
    abort.abort(new Error("enough"));
    expect(String(await ended)).toContain("enough");
    expect(await running()).toBe(false);
    expect((await readdir(cacheDir)).filter((name) => name.startsWith(".work-"))).toEqual([]);
  });

  test("where overlays are refused, a copy of the base gives the same tree", async () => {
    const work = join(folder, "by-hand");
    const base = (await readdir(cacheDir)).find((name) => /^base-debian-[0-9a-f]{16}$/.test(name))!;
    for (const name of ["work", "out", "bin"]) await mkdir(join(work, name), { recursive: true });
    await writeFile(join(work, "bin/mount"), `#!/bin/sh\n[ "$2" != overlay ] || exit 32\nexec /usr/bin/mount "$@"\n`, { mode: 0o755 });
    await writeFile(join(work, "debs"), "");
    await exec("unshare", ["--mount", "--propagation", "private", "bash", join(folder, "base-debian/layer.sh")], {
      env: {
        PATH: `${join(work, "bin")}:/usr/sbin:/usr/bin:/sbin:/bin`,
        BASE: join(folder, "base-debian"),
        BASE_ROOT: join(cacheDir, base, "rootfs"),
        RECIPE: join(folder, "two"),
        DEBS: join(work, "debs"),
        WORK: join(work, "work"),
        OUT: join(work, "out"),
      },
    });
    const byCopy = (await exec("tar", ["-tf", join(work, "out/tree.tar")])).stdout.split("\n");
    expect(byCopy.toSorted()).toEqual((await listed(await build("two"))).toSorted());
  });
});

describe("tiny-node on an emulated machine with 96 MiB", () => {
  let machine: TestQemu;
  const context = (changes: object = {}) =>
    JSON.stringify({
      generation: 3,
      self: { name: "node-0", tier: "node", index: 0, addresses: { lan: "10.0.2.15" } },
      config: { token: "planted-token" },
      tiers: { node: [{ name: "node-0", addresses: { lan: "10.0.2.15" } }], edge: [{ name: "edge-0", addresses: { lan: "10.0.2.77" } }] },
      ...changes,
    });
  const page = (path: string, headers: Record<string, string> = {}) =>
    fetch(`${machine.url}${path}`, { headers, signal: AbortSignal.timeout(5_000) });

  beforeAll(async () => {
    const cacheDir = join(tmpdir(), "stratiform-test-images");
    const { variants } = await buildImage({ recipe: recipeOf("tiny-node"), cacheDir, log: silentLog });
    const seed = [
      { path: "meta-data", content: "instance-id: test\n" },
      { path: "stratiform/hostname", content: "node-0\n" },
      { path: "stratiform/hosts", content: "127.0.0.1 localhost\n10.0.2.15 node-0 node\n10.0.2.99 other\n" },
      { path: "stratiform/network", content: `eth0 ${qemuNic.mac} ${qemuNic.address} ${qemuNic.gateway}\n` },
    ];
    machine = await startQemu(variants[0]!.path, seed, 96);
    const deadline = Date.now() + 90_000;
    for (;;) {
      const answered = await page("/").then(
        () => true,
        () => false,
      );
      if (answered) break;
      if (Date.now() > deadline) throw new Error("the guest did not answer");
      await sleep(100);
    }
  });
  afterAll(() => machine.stop());

  test("boots to its first page within 8 CPU seconds, and is not healthy before it is configured", async () => {
    expect(await machine.cpuSeconds()).toBeLessThan(8);
    expect((await page("/health")).status).toBe(404);
    expect((await page("/")).status).toBe(503);
  });

  test("a context that is cut off or incomplete is refused, and says why", async () => {
    const cut = await machine.run(["/usr/lib/stratiform/apply"], '{"config":{"tok');
    expect(cut.code).not.toBe(0);
    expect(cut.stderr).toContain("not JSON");
    const incomplete = await machine.run(["/usr/lib/stratiform/apply"], context({ config: {} }));
    expect(incomplete.code).not.toBe(0);
    expect(incomplete.stderr).toContain("config.token is missing");
    expect((await page("/health")).status).toBe(404);
  });

  test("after apply the page answers those with the token only; apply may be repeated", async () => {
    for (const _ of [1, 2]) expect(await machine.run(["/usr/lib/stratiform/apply"], context())).toMatchObject({ code: 0, stderr: "" });
    expect((await page("/health")).status).toBe(200);
    expect((await page("/")).status).toBe(403);
    expect((await page("/", { "X-Token": "wrong" })).status).toBe(403);
    const answer = await page("/", { "X-Token": "planted-token" });
    expect([answer.status, await answer.text()]).toEqual([200, "page of node-0, generation 3\n"]);
  });

  test("the guest knows its name and neighbours, from the seed and from the context", async () => {
    expect((await machine.run(["/bin/hostname"])).stdout).toBe("node-0\n");
    const hosts = (await machine.run(["/bin/cat", "/etc/hosts"])).stdout;
    expect(hosts).toBe("127.0.0.1 localhost\n10.0.2.15 node-0 node\n10.0.2.77 edge-0 edge\n10.0.2.99 other\n");
  });

  test("the context is for root only and on a file system in memory", async () => {
    const { stdout } = await machine.run([
      "/bin/sh",
      "-c",
      "stat -c '%a %u' /run/stratiform/context.json; df -P /run | awk 'NR == 2 { print $1 }'",
    ]);
    expect(stdout).toBe("600 0\nrun\n");
  });

  test("powers off when its agent is asked", async () => {
    await machine.powerOff();
  });
});
