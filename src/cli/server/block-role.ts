import path from 'node:path';
import { RECONCILE_INTERVAL_GRACES } from '../../base/limits.ts';
import { BlockServer } from '../../block/block-server.ts';
import { MetaObserver } from '../../client/meta-observer.ts';
import type { NodeInfo } from '../../gen/ringfs/v1/block.ts';
import type { BlockNodeState } from '../../gen/ringfs/v1/meta.ts';
import { type BlockCopy, BlockNodeMode } from '../../gen/ringfs/v1/namespace.ts';
import { blockConnector, metaConnector } from '../../io/grpc/connectors.ts';
import { systemRandom } from '../../io/os/system-random.ts';
import { QUARANTINE_FOLDER } from '../../io/segments/files.ts';
import { openBlockStore } from '../../io/segments/open-block-store.ts';
import type { BlockStore } from '../../ports/block-store.ts';
import type { TimerHandle } from '../../ports/clock.ts';
import type { RoleComponents } from './role-components.ts';
import type { ServerOptions } from './server-options.ts';

const REMOVED_MESSAGE =
  'this block node was removed from the cluster: it serves no blocks until an operator takes it back';

/** A block node tells the metadata cluster of itself this often, and learns of the others. */
const REPORT_INTERVAL_MS = 1_000;

/** Why a block node must not serve: it would look for and place copies where the others do not. */
export function replicasMismatch(own: number, cluster: number): string | undefined {
  // 0: the cluster has not been initialised yet.
  if (cluster === 0 || own === cluster) return undefined;
  return `--replicas is ${own}, but the cluster keeps ${cluster} copies of each block: start this server with --replicas ${cluster}`;
}

/** A block node on this machine's disk and network, which the registry of the metadata cluster lets into the ring. */
export class BlockRole {
  readonly #c: RoleComponents;
  readonly #options: ServerOptions;
  readonly #store: BlockStore;
  readonly #observer: MetaObserver;
  /** Of its own: a walk must not hold the reports up. */
  readonly #reconciler: MetaObserver;
  /** Another one after the node was removed and taken back. */
  #server: BlockServer;
  /** An operator has removed this node: it serves no blocks. */
  #removed = false;
  #reportTimer: TimerHandle | undefined;
  #knownNodes: readonly string[] = [];
  #stopping = false;

  private constructor(components: RoleComponents, options: ServerOptions, store: BlockStore) {
    this.#c = components;
    this.#options = options;
    this.#store = store;
    this.#observer = this.#makeObserver(`block node ${options.id}`);
    this.#reconciler = this.#makeObserver(`copies of block node ${options.id}`);
    this.#server = this.#makeServer();
  }

  /** Serves nobody yet. Throws what the store says of a damaged directory. */
  static async open(components: RoleComponents, options: ServerOptions): Promise<BlockRole> {
    const { timers, logger, fail } = components;
    const { id, clusterId, data, capacityBytes } = options;
    const onIndexDamaged = (reason: string): void =>
      fail(`the index of the blocks is damaged, and the next start builds it again: ${reason}`);
    const store = await openBlockStore(
      path.join(data, 'block'),
      { timers, random: systemRandom, logger, onIndexDamaged },
      { clusterId, nodeId: id, ...(capacityBytes === undefined ? {} : { capacityBytes }) },
    );
    return new BlockRole(components, options, store);
  }

  get server(): BlockServer {
    return this.#server;
  }

  start(): void {
    this.#server.start();
    this.#reportSoon(0);
  }

  /** What an operator has to look after; undefined when all is well. */
  problem(info: NodeInfo): string | undefined {
    const { id, data } = this.#options;
    if (this.#removed)
      return `block node ${id} was removed and serves no blocks: stop it, or take it back: ringfs node add ${id}`;
    const { readOnly, badCopies = 0, quarantinedSegments = 0 } = info;
    if (readOnly) return 'the disk is full: no blocks are accepted';
    if (badCopies > 0)
      return `${badCopies} damaged copies of blocks, and no good ones from other nodes: see ringfs fsck`;
    if (quarantinedSegments === 0) return undefined;
    const folder = path.join(data, 'block', QUARANTINE_FOLDER);
    return `${quarantinedSegments} damaged segments are set aside in ${folder}: check the disk, then remove them`;
  }

  /** Reports nothing any more, and follows the registry no longer. */
  quiesce(): void {
    this.#stopping = true;
    this.#reportTimer?.cancel();
    this.#observer.close();
    this.#reconciler.close();
  }

  /** Leaves the ring. */
  async stop(): Promise<void> {
    await this.#server.stop();
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  #makeObserver(name: string): MetaObserver {
    const { timers, random, logger } = this.#c;
    const { contacts: addresses, clusterId } = this.#options;
    return new MetaObserver(
      { connector: metaConnector(), timers, random, logger },
      { addresses, name, clusterId },
    );
  }

  #makeServer(): BlockServer {
    const { timers, random, logger } = this.#c;
    const { id, clusterId, contacts, advertise, replicas, virtualNodes, domain } = this.#options;
    const { gcGraceMs, scrubIntervalMs, scrubBytesPerSecond } = this.#options;
    const seeds = (): readonly string[] =>
      [...new Set([...this.#knownNodes, ...contacts])].filter((address) => address !== advertise);
    const reconcile = (copies: readonly BlockCopy[]): Promise<number> => this.#reconciler.reconcile(copies);
    return new BlockServer(
      { store: this.#store, connector: blockConnector(), reconcile, timers, random, logger },
      {
        nodeId: id,
        address: advertise,
        clusterId,
        replicas,
        virtualNodes,
        domain,
        seeds,
        reconcileIntervalMs: RECONCILE_INTERVAL_GRACES * gcGraceMs,
        scrubIntervalMs,
        scrubBytesPerSecond,
        awaitRegistry: true,
      },
    );
  }

  #reportSoon(delayMs: number): void {
    this.#reportTimer = this.#c.timers.after(delayMs, () => {
      this.#report()
        .catch((error: unknown) => {
          if (!this.#stopping)
            this.#c.logger.debug({ err: error }, 'no leader took the report of this block node');
        })
        .finally(() => {
          if (!this.#stopping) this.#reportSoon(REPORT_INTERVAL_MS);
        });
    });
  }

  async #report(): Promise<void> {
    const { id, advertise, virtualNodes, replicas, domain } = this.#options;
    const { fileBytes, capacityBytes, availableBytes } = await this.#store.stats();
    const reply = await this.#observer.report(
      {
        id,
        address: advertise,
        virtualNodes,
        capacityBytes,
        usedBytes: fileBytes,
        availableBytes,
        domain,
      },
      await this.#server.registryDetails(),
    );
    const mismatch = replicasMismatch(replicas, reply.replicas);
    if (mismatch !== undefined) return this.#c.fail(mismatch);
    const serving = reply.nodes.filter((node) => node.mode !== BlockNodeMode.REMOVED);
    this.#knownNodes = serving.flatMap((node) => (node.info === undefined ? [] : [node.info.address]));
    await this.#followRegistry(reply.nodes);
  }

  /** Places blocks by the registry, and leaves the ring or comes back as it says. */
  async #followRegistry(nodes: readonly BlockNodeState[]): Promise<void> {
    const { id } = this.#options;
    if (this.#stopping) return;
    const removed = nodes.find((node) => node.info?.id === id)?.mode === BlockNodeMode.REMOVED;
    if (removed && !this.#removed) {
      this.#removed = true;
      this.#c.logger.error({ id }, REMOVED_MESSAGE);
      await this.#server.stop();
    } else if (!removed && this.#removed) {
      this.#removed = false;
      this.#server = this.#makeServer();
      this.#server.start();
      this.#c.logger.info({ id }, 'this block node was taken back and joins the ring again');
    }
    this.#server.setRegistry(nodes);
  }
}
