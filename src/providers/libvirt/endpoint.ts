/**
 * One endpoint as the operations of this folder see it: its connections by purpose, its pool, and what it can run. Nothing is kept that is
 * not at the endpoint, except the connections and, for as long as a connection lives, what was learned about the hypervisor.
 */
import type { CallContext } from "#domain/context.ts";
import { AppError } from "#domain/error.ts";
import { LibvirtClient } from "#providers/libvirt/client.ts";
import type { LibvirtConfig } from "#providers/libvirt/config.ts";
import { connectorOf, type Connector } from "#providers/libvirt/connector.ts";
import type { Platform } from "#providers/libvirt/domain-xml.ts";
import { isFailure, libvirtCode } from "#providers/libvirt/failure.ts";
import { platformFind } from "#providers/libvirt/platform.ts";
import type { PoolHandle } from "#providers/libvirt/protocol.ts";
import type { RpcConnection } from "#providers/libvirt/rpc.ts";
import { openConnection, SharedConnection } from "#providers/libvirt/session.ts";
import { buildPoolXml, poolPathOf } from "#providers/libvirt/volume-xml.ts";

/** Opening runs without a caller, because the connection is shared. */
const openLimitMs = 90_000;
/** Starting a folder pool means reading the folder. */
const poolStartAttemptsMax = 100;
const poolStartPauseMs = 50;

export class LibvirtEndpoint {
  readonly #config: LibvirtConfig;
  readonly #connector: Connector;
  readonly #calls: SharedConnection;
  readonly #channel: SharedConnection;
  readonly #platforms = new WeakMap<RpcConnection, Promise<Platform>>();

  constructor(config: LibvirtConfig) {
    this.#config = config;
    this.#connector = connectorOf(config.transport);
    this.#calls = new SharedConnection(() => this.#open(AbortSignal.timeout(openLimitMs)));
    this.#channel = new SharedConnection(() => this.#open(AbortSignal.timeout(openLimitMs)));
  }

  /** For calls that end soon. */
  async client(ctx: CallContext): Promise<LibvirtClient> {
    return new LibvirtClient(await this.#calls.get(ctx.signal), ctx);
  }

  /** For guest agents, which may take five seconds to say nothing and must not hold up the others. */
  async channelClient(ctx: CallContext): Promise<LibvirtClient> {
    return new LibvirtClient(await this.#channel.get(ctx.signal), ctx);
  }

  /** A connection of one's own, for streams and events. The caller closes it. */
  async ownClient(ctx: CallContext): Promise<LibvirtClient> {
    return new LibvirtClient(await this.#open(ctx.signal), ctx);
  }

  /** Opened with reading rights only: nothing is made, started or probed. */
  get readOnly(): boolean {
    return this.#config.readOnly;
  }

  async platform(ctx: CallContext): Promise<Platform> {
    const client = await this.client(ctx);
    const known = this.#platforms.get(client.connection);
    if (known !== undefined) return known;
    const found = platformFind(this, ctx);
    this.#platforms.set(client.connection, found);
    found.catch(() => this.#platforms.delete(client.connection));
    return found;
  }

  /** The pool, made and started when it is not. */
  async pool(ctx: CallContext, client: LibvirtClient): Promise<PoolHandle> {
    if (this.#config.pool === null) throw new AppError("capability_missing", "the endpoint is configured without a pool for disks");
    const { name, path } = this.#config.pool;
    const pool = (await client.poolLookup(name)) ?? (await poolDefine(client, name, path));
    const found = poolPathOf(await client.poolXml(pool));
    if (found !== path) {
      throw new AppError("endpoint_refused", `the pool "${name}" of the endpoint is another one than configured`, {
        internal: `${found} instead of ${path}`,
      });
    }
    if (await client.poolIsActive(pool)) return pool;
    await client.poolAutostart(pool);
    try {
      await client.poolBuild(pool);
      await client.poolStart(pool);
    } catch (error) {
      if (!isFailure(error, libvirtCode.operationInvalid) || !(await poolBecomesActive(ctx, client, pool))) throw error;
    }
    return pool;
  }

  /** Null when the pool was never made: then there are no volumes either. With reading rights only, also when it is not started. */
  async poolIfMade(ctx: CallContext, client: LibvirtClient): Promise<PoolHandle | null> {
    const made = this.#config.pool === null ? null : await client.poolLookup(this.#config.pool.name);
    if (made === null || !this.#config.readOnly) return made === null ? null : this.pool(ctx, client);
    return (await client.poolIsActive(made)) ? made : null;
  }

  close(): void {
    this.#calls.close();
    this.#channel.close();
  }

  #open(signal: AbortSignal): Promise<RpcConnection> {
    return openConnection(this.#connector, this.#config, signal);
  }
}

async function poolDefine(client: LibvirtClient, name: string, path: string): Promise<PoolHandle> {
  try {
    return await client.poolDefine(buildPoolXml(name, path));
  } catch (error) {
    // Two definers: libvirt gives each its own uuid and refuses the second.
    const other = isFailure(error, libvirtCode.operationFailed) ? await client.poolLookup(name) : null;
    if (other === null) throw error;
    return other;
  }
}

/** Somebody else is starting it: refused as "already active" from the beginning, active only at the end. */
async function poolBecomesActive(ctx: CallContext, client: LibvirtClient, pool: PoolHandle): Promise<boolean> {
  for (let attempt = 0; attempt < poolStartAttemptsMax; attempt++) {
    if (await client.poolIsActive(pool)) return true;
    await ctx.clock.sleep(poolStartPauseMs, ctx.signal);
  }
  return false;
}
