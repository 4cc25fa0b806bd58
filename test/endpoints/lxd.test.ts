/** The LXD provider at a real LXD of its own. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { buildImage, type BuiltImageVariant } from "#agent/image-build.ts";
import { silentLog } from "#lib/log.ts";
import { providerConformance } from "#provider/conformance.ts";
import { lxdCapabilities, lxdFactory } from "#providers/lxd/provider.ts";
import { startLxd, type TestLxd } from "../support/lxd.ts";

let lxd: TestLxd;
let image: BuiltImageVariant;
let machines = 0;

beforeAll(async () => {
  const recipe = join(import.meta.dirname, "../../images/tiny-edge");
  const built = await buildImage({ recipe, cacheDir: join(tmpdir(), "stratiform-test-images"), log: silentLog });
  image = built.variants[0]!;
  lxd = await startLxd();
});

afterAll(() => lxd.stop());

const imageRef = () => ({ name: `strat-${image.digest.slice(0, 16)}`, digest: image.digest });

providerConformance({
  name: "lxd",
  capabilities: lxdCapabilities,
  open: () => lxdFactory.open({ socket: lxd.socket, pool: lxd.pool }),
  openUnreachable: () => lxdFactory.open({ socket: `${lxd.socket}.missing`, pool: lxd.pool }),
  machine(overrides) {
    const host = (machines++ % 250) + 2;
    const nic = {
      name: "eth0",
      attachment: lxd.bridges[0],
      mac: `02:00:00:00:00:${host.toString(16).padStart(2, "0")}`,
      address: `10.9.0.${host}`,
      prefixLength: 24,
    };
    const hosts = [{ address: nic.address, names: ["edge-0", "edge"] }];
    return { kind: "container", image: imageRef(), vcpus: 1, memoryMiB: 64, nics: [nic], hostname: "edge-0", hosts, ...overrides };
  },
  imageSource: () => ({ ...imageRef(), format: "lxd", sizeBytes: image.sizeBytes, path: image.path }),
  foreign: {
    create: async (name) => void (await lxd.lxc("init", "--empty", "--no-profiles", "--storage", lxd.pool, name)),
    fingerprint: (name) => lxd.lxc("config", "show", name).catch(() => ""),
    remove: async (name) => void (await lxd.lxc("delete", "--force", name)),
  },
  kill: (name) => lxd.kill(name),
});
