import { addressesOf, livingOf } from '../client/block-addresses.ts';
import { BlockClient } from '../client/block-client.ts';
import { MetaClient } from '../client/meta-client.ts';
import { blockConnector, metaConnector } from '../io/grpc/connectors.ts';
import { jitterRandom, systemRandom } from '../io/os/system-random.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { Vfs } from '../vfs/vfs.ts';

export interface TreeClientOptions {
  /** host:port of meta servers. */
  readonly addresses: readonly string[];
  readonly clientName: string;
  /** How long an operation waits for the servers before it fails. */
  readonly timeoutMs: number;
  readonly cacheBytes: number;
  /** Whether the leader is asked through other servers while it cannot be reached from here. */
  readonly followers: boolean;
}

/** Where to look for the servers before giving up. */
const CONNECT_TIMEOUT_MS_MAX = 60_000;

/** No metadata server answers. */
export class NoServersError extends Error {
  override readonly name = 'NoServersError';
}

/** What a mount and a gateway have in common: the clients of a cluster, and the VFS over them. */
export class TreeClient {
  readonly meta: MetaClient;
  readonly blocks: BlockClient;
  readonly vfs: Vfs;

  private constructor(meta: MetaClient, blocks: BlockClient, vfs: Vfs) {
    this.meta = meta;
    this.blocks = blocks;
    this.vfs = vfs;
  }

  /** Throws NoServersError. `signal` ends the search for the servers. */
  static async connect(
    { timers, logger }: { readonly timers: Timers; readonly logger: Logger },
    options: TreeClientOptions,
    signal?: AbortSignal,
  ): Promise<TreeClient> {
    const { addresses, clientName, timeoutMs, cacheBytes, followers } = options;
    const meta = new MetaClient(
      { connector: metaConnector(), timers, random: systemRandom, logger },
      { addresses, clientName, operationTimeoutMs: timeoutMs, followers },
    );
    try {
      const timeout = AbortSignal.timeout(Math.min(timeoutMs, CONNECT_TIMEOUT_MS_MAX));
      await meta.statfs(signal === undefined ? timeout : AbortSignal.any([timeout, signal]));
    } catch (error) {
      await meta.close();
      throw new NoServersError(
        `no metadata server answers at ${addresses.join(', ')}: ${(error as Error).message}`,
      );
    }
    const { replicas, clusterId } = await meta.topology();
    const blocks = new BlockClient(
      {
        connector: blockConnector(),
        timers,
        random: jitterRandom(),
        logger,
        nodes: async () => livingOf(await meta.topology()),
        everyNode: async () => addressesOf((await meta.topology()).blockNodes),
        seenIndex: () => meta.seenIndex(),
      },
      { clientName, clusterId, replicas, cacheBytes, operationTimeoutMs: timeoutMs },
    );
    return new TreeClient(meta, blocks, new Vfs({ meta, blocks, timers, logger }));
  }

  /** Flushes what was written, and closes. */
  async close(): Promise<void> {
    await this.vfs.close();
    await this.blocks.close();
    await this.meta.close();
  }
}
