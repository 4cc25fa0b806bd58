/** The fabric of the simulated site: a thin client of the same process that holds its endpoints. */
import type { Duplex } from "node:stream";
import { z } from "zod";
import type { CallContext } from "#domain/context.ts";
import type {
  ExposureFacts,
  ExposureRef,
  ExposureSpec,
  Fabric,
  FabricCapabilities,
  FabricFactory,
  ReachTarget,
  SegmentFacts,
  SegmentRef,
  SegmentSpec,
} from "#fabric/contract.ts";
import { SocketHttp } from "#lib/socket-http.ts";

export const simFabricConfig = z.object({ socket: z.string().min(1) });

export const simFabricFactory: FabricFactory = {
  kind: "sim",
  open: (config) => new SimFabric(simFabricConfig.parse(config).socket),
};

export const simFabricCapabilities: FabricCapabilities = {
  isolation: true,
  exposure: true,
  reach: true,
  outbound: true,
  ipv6: false,
  multiHost: false,
};

const owner = z.object({ installation: z.string(), vapp: z.string(), object: z.string() }).nullable();
const segmentFacts = z.object({
  name: z.string(),
  owner,
  prefix: z.string(),
  gateway: z.string(),
  isolated: z.boolean(),
  attachment: z.string(),
});
const exposureFacts = z.object({
  name: z.string(),
  owner,
  address: z.string(),
  port: z.number(),
  target: z.object({ segment: z.string(), address: z.string(), port: z.number() }),
});

class SimFabric implements Fabric {
  readonly kind = "sim";
  readonly capabilities = simFabricCapabilities;
  readonly #http: SocketHttp;

  constructor(socketPath: string) {
    this.#http = new SocketHttp(socketPath);
  }

  async segmentEnsure(ctx: CallContext, spec: SegmentSpec): Promise<SegmentFacts> {
    return segmentFacts.parse(await this.#call(ctx, "segmentEnsure", spec));
  }

  async segmentRemove(ctx: CallContext, { name, owner: mark }: SegmentRef): Promise<void> {
    await this.#call(ctx, "segmentRemove", { name, owner: mark });
  }

  async segmentList(ctx: CallContext): Promise<SegmentFacts[]> {
    return z.array(segmentFacts).parse(await this.#call(ctx, "segmentList", {}));
  }

  async exposureEnsure(ctx: CallContext, spec: ExposureSpec): Promise<ExposureFacts> {
    return exposureFacts.parse(await this.#call(ctx, "exposureEnsure", spec));
  }

  async exposureRemove(ctx: CallContext, { name, owner: mark }: ExposureRef): Promise<void> {
    await this.#call(ctx, "exposureRemove", { name, owner: mark });
  }

  async exposureList(ctx: CallContext): Promise<ExposureFacts[]> {
    return z.array(exposureFacts).parse(await this.#call(ctx, "exposureList", {}));
  }

  reach(ctx: CallContext, { segment, address, port }: ReachTarget): Promise<Duplex> {
    return this.#http.upgrade("/fabric/reach", { segment, address, port }, ctx.signal);
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  #call(ctx: CallContext, operation: string, body: object): Promise<unknown> {
    return this.#http.call(`/fabric/${operation}`, body, ctx.signal);
  }
}
