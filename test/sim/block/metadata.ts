import { EMPTY_BYTES, fromHex, toHex } from '../../../src/base/bytes.ts';
import type { BlockId } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import { TABLE, tableRange } from '../../../src/core/namespace/keys.ts';
import { listBlockNodes } from '../../../src/core/namespace/read.ts';
import { BLOCK, BLOCK_NODE } from '../../../src/core/namespace/rows.ts';
import type { BlockNodesReply, ChangeBlockNode } from '../../../src/gen/ringfs/v1/admin.ts';
import type { BlockReply, BlockRequest } from '../../../src/gen/ringfs/v1/block.ts';
import type { BlockNodeState } from '../../../src/gen/ringfs/v1/meta.ts';
import type { BlockCopy, BlockNodeInfo, Extent, Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import { BlockNodeRegistry, type ReportDetails, stateOf } from '../../../src/meta/block-node-registry.ts';
import { GarbageCollector } from '../../../src/meta/garbage-collector.ts';
import { servingNodes } from '../../../src/meta/leadership.ts';
import { manageBlockNodes } from '../../../src/meta/manage-block-nodes.ts';
import { RpcError } from '../../../src/ports/rpc.ts';
import { MemoryReplica } from '../../support/memory-replica.ts';
import { NamespaceFixture } from '../../support/namespace-fixture.ts';
import { mkfile, truncate, write } from '../../support/namespace-ops.ts';
import type { TestBlock } from '../../support/test-blocks.ts';
import { SimLogger, SimProcess, type World } from '../harness/world.ts';
import type { BlockNetwork } from './node.ts';
import type { BlocksCounts, BlocksOptions } from './options.ts';

const CALL_TIMEOUT_MS = 5_000;

export interface SimMetadataComponents {
  readonly world: World;
  readonly counts: BlocksCounts;
  readonly network: BlockNetwork;
  readonly processes: Map<string, SimProcess>;
  /** Whether messages pass between the node at this address and the metadata cluster. */
  readonly reachable: (address: string) => boolean;
  /** Planted mistakes: the index that a delete is sent with, and the one that a commit tells of its uploads. */
  readonly fence?: (before: number) => number;
  readonly uploadIndex?: (uploadedAt: number) => number;
  /** And what nodes say that they have when one is to be removed. */
  readonly copies?: (present: readonly boolean[]) => readonly boolean[];
}

type BlockRequestBody = NonNullable<BlockRequest['body']>;
type BlockReplyBody = NonNullable<BlockReply['body']>;

interface Lead {
  readonly replica: MemoryReplica;
  readonly collector: GarbageCollector;
  readonly registry: BlockNodeRegistry;
}

/** The namespace state machine with one session, and its leaders, one after the other: they collect the garbage and keep the registry. */
export class SimMetadata {
  readonly #c: SimMetadataComponents;
  readonly #options: BlocksOptions;
  readonly #random: Random;
  readonly #reports: Random;
  readonly #fs = new NamespaceFixture();
  readonly #files: number[] = [];
  readonly #process: SimProcess;
  readonly #signal = new AbortController().signal;
  #lead: Lead | undefined;
  #leaders = 0;
  /** As of a commit index. */
  #referenced: { readonly index: number; readonly ids: ReadonlySet<BlockId> } = { index: -1, ids: new Set() };

  constructor(components: SimMetadataComponents, options: BlocksOptions) {
    this.#c = components;
    this.#options = options;
    this.#random = components.world.random('metadata');
    this.#reports = components.world.random('reports');
    this.#process = new SimProcess(components.world, 'meta', { rate: 1, wallMs: 0 });
    components.processes.set('meta', this.#process);
    for (let i = 0; i < options.files; i++) this.#files.push(this.#fs.ino(mkfile(1, `f${i}`)));
    this.elect();
  }

  get index(): number {
    return this.#fs.machine.index;
  }

  get fileCount(): number {
    return this.#files.length;
  }

  /** Blocks that files refer to. */
  referenced(): ReadonlySet<BlockId> {
    if (this.#referenced.index !== this.index) {
      this.#referenced = { index: this.index, ids: this.#findReferenced() };
    }
    return this.#referenced.ids;
  }

  #findReferenced(): Set<BlockId> {
    const out = new Set<BlockId>();
    for (const [key, value] of this.#fs.machine.store.scanSync(tableRange(TABLE.block))) {
      if (BLOCK.decode(value).refs > 0) out.add(toHex(key.subarray(1)) as BlockId);
    }
    return out;
  }

  /** Blocks that there are rows of: referred to, or on their way out. */
  rows(): number {
    const { store } = this.#fs.machine;
    return (
      store.scanSync(tableRange(TABLE.block)).length + store.scanSync(tableRange(TABLE.condemned)).length
    );
  }

  write(file: number, block: TestBlock, uploadedAt: number): 'ok' | 'missing' {
    const told = this.#c.uploadIndex?.(uploadedAt) ?? uploadedAt;
    return this.#commit([write(this.#files[file]!, [wholeBlock(block)])], told);
  }

  truncate(file: number): void {
    this.#commit([truncate(this.#files[file]!, 0)]);
  }

  /** Another leader. What the former one has begun goes on until it notices. */
  elect(): void {
    const { world } = this.#c;
    const former = this.#lead;
    former?.replica.becomeFollower();
    const replica = new MemoryReplica(`m${this.#leaders++}`, this.#fs.machine);
    replica.becomeLeader();
    const registry = new BlockNodeRegistry({
      replica,
      timers: this.#process,
      listBlockNodes: () => listBlockNodes(replica.state),
    });
    const collector = new GarbageCollector(
      {
        replica,
        timers: this.#process,
        logger: new SimLogger(this.#process),
        nodes: () => servingNodes(registry),
        deleteCopies: (address, ids, before) => this.#delete(address, ids, before),
      },
      { graceMs: this.#options.graceMs },
    );
    collector.start();
    this.#lead = { replica, collector, registry };
    world.trace(`leader ${replica.id}`);
    if (former !== undefined) world.queue.after(this.#random.below(5_000), () => former.collector.close());
  }

  async reconcile(from: SimProcess, copies: readonly BlockCopy[]): Promise<number> {
    await from.sleep(this.#random.next() * this.#options.latencyMs);
    const condemned = (await this.#lead?.collector.reconcile(copies)) ?? 0;
    await from.sleep(this.#random.next() * this.#options.latencyMs);
    return condemned;
  }

  /** A node says how it is, and learns of all. Throws RpcError, and what a leader throws that is none any more. */
  async report(from: SimProcess, info: BlockNodeInfo, details: ReportDetails): Promise<BlockNodeState[]> {
    const { latencyMs } = this.#options;
    await from.sleep(this.#reports.next() * latencyMs);
    const lead = this.#lead;
    if (lead === undefined || !this.#c.reachable(info.address))
      throw new RpcError('unavailable', 'no leader');
    await lead.registry.report(info, details);
    const states = await lead.registry.states();
    await from.sleep(this.#reports.next() * latencyMs);
    if (!this.#c.reachable(info.address)) throw new RpcError('unavailable', 'no answer');
    return states;
  }

  /** The registry with what this leader has heard. */
  async states(): Promise<readonly BlockNodeState[]> {
    return (await this.#lead?.registry.states()) ?? [];
  }

  /** The rows of the registry. */
  registry(): readonly BlockNodeState[] {
    return this.#fs.machine.store.scanSync(tableRange(TABLE.blockNode)).map(([, value]) => {
      const row = BLOCK_NODE.decode(value);
      return { ...stateOf({ ...row, node: row.node! }), alive: true };
    });
  }

  /** What an operator asks for. */
  async manage(change: ChangeBlockNode): Promise<NonNullable<BlockNodesReply['result']>> {
    const { replica, registry } = this.#lead!;
    const { replicas } = this.#options;
    const hasCopies = async (address: string, ids: readonly Uint8Array[]): Promise<readonly boolean[]> => {
      const reply = await this.#call(address, { $case: 'has', value: { blockIds: [...ids] } });
      if (reply.$case !== 'has') throw new Error('no answer about copies');
      return this.#c.copies?.(reply.value.present) ?? reply.value.present;
    };
    return manageBlockNodes({ replica, registry, hasCopies, replicas, signal: this.#signal }, { change });
  }

  #commit(ops: Op[], uploadedAt?: number): 'ok' | 'missing' {
    const { world, counts } = this.#c;
    const { body, index } = this.#fs.commit(ops, { uploadedAt }).result;
    world.trace(`commit ${ops[0]?.body?.$case} at ${index} with ${uploadedAt}: ${body?.$case}`);
    counts.commits++;
    if (body?.$case === 'ok') return 'ok';
    if (body?.$case !== 'missingBlocks') throw new Error(`refused: ${JSON.stringify(body)}`);
    counts.commitsRefused++;
    return 'missing';
  }

  /** Some arrive late, some twice, and of some the answer is lost. */
  async #delete(address: string, ids: readonly Uint8Array[], before: number): Promise<void> {
    const { world, counts, fence } = this.#c;
    const { lateDeletes } = this.#options;
    const value = { blockIds: [...ids], before: fence?.(before) ?? before };
    const send = async (): Promise<void> => {
      const reply = await this.#call(address, { $case: 'delete', value });
      if (reply.$case !== 'delete') throw new Error('not deleted');
      counts.reclaimed += reply.value.deleted;
      world.trace(`${address} deleted ${reply.value.deleted}, kept ${reply.value.kept} before ${before}`);
    };
    counts.deletes++;
    const troubled = !world.healing;
    if (troubled && this.#random.next() < lateDeletes) {
      world.queue.after(this.#random.below(15_000), () => void send().catch(() => undefined));
    }
    if (troubled && this.#random.next() < lateDeletes) throw new Error('no answer');
    await send();
  }

  async #call(address: string, body: BlockRequestBody): Promise<BlockReplyBody> {
    const connection = await this.#c.network.connector('meta').connect(address);
    try {
      return await connection.call(body, { timeoutMs: CALL_TIMEOUT_MS });
    } finally {
      connection.close();
    }
  }
}

function wholeBlock({ id, data }: TestBlock): Extent {
  const { length } = data;
  const blockId = fromHex(id);
  return { offset: 0, length, blockId, blockOffset: 0, blockLength: length, inline: EMPTY_BYTES };
}
