import assert from "node:assert/strict";
import { check, rejectsWith, type Bench, type ConformanceCheck } from "#provider/conformance/subject.ts";

async function countImages(bench: Bench, name: string): Promise<number> {
  return (await bench.provider.imageList(bench.ctx)).filter((image) => image.name === name).length;
}

export const imageChecks: readonly ConformanceCheck[] = [
  check("imageEnsure twice leaves one image", async (bench) => {
    const source = await bench.subject.imageSource();
    const first = await bench.provider.imageEnsure(bench.ctx, source);
    const second = await bench.provider.imageEnsure(bench.ctx, source);
    assert.equal(first.name, source.name);
    assert.equal(first.digest, source.digest);
    assert.deepEqual(second, first);
    assert.equal(await countImages(bench, source.name), 1);
    const listed = (await bench.provider.imageList(bench.ctx)).find((image) => image.name === source.name);
    assert.deepEqual(listed, first);
    await bench.provider.imageRemove(bench.ctx, source);
  }),

  check("two concurrent imageEnsure leave one image", async (bench) => {
    const source = await bench.subject.imageSource();
    await bench.provider.imageRemove(bench.ctx, source);
    const other = await bench.another();
    const [first, second] = await Promise.all([bench.provider.imageEnsure(bench.ctx, source), other.imageEnsure(bench.ctx, source)]);
    assert.deepEqual(second, first);
    assert.equal(await countImages(bench, source.name), 1);
    await bench.provider.imageRemove(bench.ctx, source);
  }),

  check("imageRemove removes, and succeeds when missing", async (bench) => {
    const source = await bench.subject.imageSource();
    await bench.provider.imageEnsure(bench.ctx, source);
    await bench.provider.imageRemove(bench.ctx, source);
    assert.equal(await countImages(bench, source.name), 0);
    await bench.provider.imageRemove(bench.ctx, source);
  }),

  check("imageRemove is refused while a machine uses the image", async (bench) => {
    const spec = await bench.made();
    await rejectsWith("conflict", () => bench.provider.imageRemove(bench.ctx, spec.image));
    assert.equal(await countImages(bench, spec.image.name), 1);
    await bench.provider.machineRemove(bench.ctx, spec);
    await bench.provider.imageRemove(bench.ctx, spec.image);
    assert.equal(await countImages(bench, spec.image.name), 0);
  }),
];
