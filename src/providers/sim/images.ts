/** The images of the simulated endpoints: a name and a digest, whatever the format. */
import { AppError } from "#domain/error.ts";
import type { SimImage, World } from "#providers/sim/world.ts";

export class Images {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  ensure(endpoint: string, image: Omit<SimImage, "endpoint">): object {
    const existing = this.#world.endpoint(endpoint).images.get(image.name);
    if (existing !== undefined && existing.digest !== image.digest) {
      throw new AppError("endpoint_refused", `image ${image.name} exists with another digest`);
    }
    if (existing === undefined) this.#world.put("image", `${endpoint}/${image.name}`, { endpoint, ...image });
    return imageFacts(existing ?? { endpoint, ...image });
  }

  list(endpoint: string): object[] {
    return [...this.#world.endpoint(endpoint).images.values()].filter((image) => image.name.startsWith("strat-")).map(imageFacts);
  }

  remove(endpoint: string, name: string): void {
    const { images, imageUsers } = this.#world.endpoint(endpoint);
    if ((imageUsers.get(name) ?? 0) > 0) throw new AppError("conflict", `image ${name} is used by machines`);
    if (images.has(name)) this.#world.put("image", `${endpoint}/${name}`, null);
  }
}

function imageFacts({ name, digest, sizeBytes }: SimImage): object {
  return { name, digest, sizeBytes };
}
