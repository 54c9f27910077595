import { toBinary } from '../base/bytes.ts';
import {
  GC_BATCH_BLOCKS,
  GC_BATCHES_MAX,
  GC_DELETE_WAIT_MS,
  GC_DELETES_IN_FLIGHT_MAX,
  GC_GRACE_FULL_MS,
  GC_NEARLY_FULL_PART,
  GC_ROUND_INTERVAL_MS,
  GC_SETTLE_MS,
  GC_UNREFERENCED_GRACES,
} from '../base/limits.ts';
import {
  type Condemned,
  listCondemned,
  markedAmong,
  readReclaim,
  unknownBlocks,
} from '../core/namespace/read-reclaim.ts';
import type { GarbageOfCluster } from '../gen/ringfs/v1/admin.ts';
import type { BlockNodeState } from '../gen/ringfs/v1/meta.ts';
import type { BlockCopy } from '../gen/ringfs/v1/namespace.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { IndexHistory } from './index-history.ts';
import { proposeCommand } from './propose.ts';
import { isPassing, NotLeaderError, type Replica } from './replica.ts';

/** Tells the block node at `address` to forget copies uploaded before `before`. Throws when it did not answer. */
export type DeleteCopies = (
  address: string,
  blockIds: readonly Uint8Array[],
  before: number,
  signal: AbortSignal,
) => Promise<void>;

export interface GarbageCollectorComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly nodes: () => Promise<readonly BlockNodeState[]>;
  readonly deleteCopies: DeleteCopies;
}

export interface GarbageCollectorOptions {
  readonly graceMs: number;
}

/** Blocks marked by one command. */
interface Batch {
  readonly markedAt: number;
  readonly blocks: Condemned[];
  /** When this leader marked or found them. */
  readonly sinceMs: number;
  /** Nodes that have deleted theirs. */
  readonly told: Set<string>;
}

/**
 * Deletes blocks that nothing refers to. In the order of condemnation, after a grace: mark (a command), delete the copies on
 * every living node, drop the row (a command). What it keeps in memory it would find again in the rows: a new leader goes on with
 * what is marked. Copies that are missed, because their node is down or repair brings them back, are found by the nodes'
 * reconciliation and condemned anew. Why nothing is lost that is in use: ARCHITECTURE.md, "Garbage".
 */
export class GarbageCollector {
  readonly #c: GarbageCollectorComponents;
  readonly #graceMs: number;
  readonly #history: IndexHistory;
  readonly #batches = new Map<number, Batch>();
  readonly #abort = new AbortController();
  #timer: TimerHandle | undefined;
  #round: Promise<void> | undefined;
  /** Condemned rows up to here are marked and in `#batches`, or gone. */
  #after: Condemned | undefined;
  #unreferenced = { blocks: 0, bytes: 0 };

  constructor(components: GarbageCollectorComponents, options: GarbageCollectorOptions) {
    this.#c = components;
    this.#graceMs = options.graceMs;
    this.#history = new IndexHistory(options.graceMs * GC_UNREFERENCED_GRACES);
  }

  start(): void {
    this.#schedule();
  }

  close(): void {
    this.#abort.abort(new NotLeaderError(undefined));
    this.#timer?.cancel();
  }

  /** A round now, after the one that is under way. Throws what keeps it from its work. */
  async pass(): Promise<void> {
    await this.#round?.catch(() => {});
    await this.#once();
  }

  /** Condemns those copies that no row knows and that were not uploaded lately. The number of them. Throws what propose throws. */
  async reconcile(copies: readonly BlockCopy[]): Promise<number> {
    const { replica, timers } = this.#c;
    const age = this.#graceMs * GC_UNREFERENCED_GRACES;
    const old = this.#history.before(timers.nowMs() - age);
    if (old === undefined) return 0;
    const due = copies.filter((copy) => copy.uploadedAt <= old);
    await replica.readBarrier();
    const unknown = await unknownBlocks(
      replica.state,
      due.map((copy) => copy.blockId),
    );
    this.#abort.signal.throwIfAborted();
    const garbage = due.filter((_, i) => unknown[i]);
    if (garbage.length === 0) return 0;
    // Those that got a row meanwhile are left alone when this is applied.
    const { outcome } = await proposeCommand(replica, {
      $case: 'condemnBlocks',
      value: { copies: garbage },
    });
    this.#unreferenced.blocks += outcome.value;
    this.#unreferenced.bytes += garbage.reduce((sum, copy) => sum + copy.length, 0);
    this.#c.logger.info({ blocks: outcome.value }, 'condemned copies that nothing refers to');
    return outcome.value;
  }

  /** Reads every condemned row. */
  async summary(): Promise<GarbageOfCluster> {
    const { state } = this.#c.replica;
    const due = this.#dueIndex(await this.#currentGraceMs());
    const sums = { grace: [0, 0], due: [0, 0], deleting: [0, 0] } satisfies Record<string, [number, number]>;
    for (let after: Condemned | undefined; ; ) {
      const page = await listCondemned(state, after, 8 * GC_BATCH_BLOCKS);
      this.#abort.signal.throwIfAborted();
      for (const block of page) {
        const sum = block.markedAt > 0 ? sums.deleting : block.condemnedAt <= due ? sums.due : sums.grace;
        sum[0]! += 1;
        sum[1]! += block.length;
      }
      after = page.at(-1);
      if (after === undefined) break;
    }
    const { droppedBlocks, droppedBytes } = await readReclaim(state);
    return {
      graceMs: this.#graceMs,
      inGraceBlocks: sums.grace[0],
      inGraceBytes: sums.grace[1],
      dueBlocks: sums.due[0],
      dueBytes: sums.due[1],
      deletingBlocks: sums.deleting[0],
      deletingBytes: sums.deleting[1],
      unreferencedBlocks: this.#unreferenced.blocks,
      unreferencedBytes: this.#unreferenced.bytes,
      reclaimedBlocks: droppedBlocks,
      reclaimedBytes: droppedBytes,
    };
  }

  #schedule(): void {
    if (this.#abort.signal.aborted) return;
    this.#timer = this.#c.timers.after(GC_ROUND_INTERVAL_MS, () => {
      this.#once().then(
        () => this.#schedule(),
        (error: unknown) => {
          if (!isPassing(error)) this.#c.logger.error({ err: error }, 'a round of garbage collection failed');
          this.#schedule();
        },
      );
    });
  }

  #once(): Promise<void> {
    this.#round ??= this.#collect().finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  async #collect(): Promise<void> {
    const { replica, timers } = this.#c;
    const { signal } = this.#abort;
    signal.throwIfAborted();
    this.#history.note(timers.nowMs(), replica.appliedIndex());
    const due = this.#dueIndex(await this.#currentGraceMs());
    try {
      await this.#takeBatches(due);
    } catch (error) {
      // Some of what was listed may not be marked: look at all rows again.
      this.#after = undefined;
      throw error;
    }
    await this.#deleteCopies();
    await this.#dropSettled();
  }

  /** The highest index whose condemned blocks have had their grace; -1: none. */
  #dueIndex(graceMs: number): number {
    return this.#history.before(this.#c.timers.nowMs() - graceMs) ?? -1;
  }

  async #currentGraceMs(): Promise<number> {
    const nodes = await this.#c.nodes();
    const full = nodes.some(({ info, alive }) => {
      if (!alive || info === undefined) return false;
      const left = info.availableBytes ?? info.capacityBytes - info.usedBytes;
      return left < GC_NEARLY_FULL_PART * info.capacityBytes;
    });
    return full ? Math.min(this.#graceMs, GC_GRACE_FULL_MS) : this.#graceMs;
  }

  /** Marks what is due, and takes over what is marked, until there are enough batches. */
  async #takeBatches(due: number): Promise<void> {
    const { replica } = this.#c;
    while (this.#batches.size < GC_BATCHES_MAX) {
      const page = await listCondemned(replica.state, this.#after, GC_BATCH_BLOCKS);
      this.#abort.signal.throwIfAborted();
      const end = page.findIndex((block) => block.markedAt === 0 && block.condemnedAt > due);
      const taken = end < 0 ? page : page.slice(0, end);
      if (taken.length === 0) return;
      for (const block of taken) if (block.markedAt > 0) this.#add(block);
      const unmarked = taken.filter((block) => block.markedAt === 0);
      if (unmarked.length > 0) await this.#mark(unmarked);
      this.#after = taken.at(-1);
      if (end >= 0) return;
    }
  }

  async #mark(blocks: readonly Condemned[]): Promise<void> {
    const { replica } = this.#c;
    const { index } = await proposeCommand(replica, { $case: 'markBlocks', value: { blocks: [...blocks] } });
    // Only those that the rows say were marked: another may have been revived before.
    const marked = await markedAmong(replica.state, blocks);
    this.#abort.signal.throwIfAborted();
    for (const block of marked) if (block.markedAt === index) this.#add(block);
  }

  #add(block: Condemned): void {
    const { markedAt } = block;
    let batch = this.#batches.get(markedAt);
    if (batch === undefined) {
      batch = { markedAt, blocks: [], sinceMs: this.#c.timers.nowMs(), told: new Set() };
      this.#batches.set(markedAt, batch);
    }
    // After a failure the rows are read again.
    const id = toBinary(block.blockId);
    if (!batch.blocks.some((other) => toBinary(other.blockId) === id)) batch.blocks.push(block);
  }

  /** Every living node deletes what it has of every batch. */
  async #deleteCopies(): Promise<void> {
    const { nodes, deleteCopies, logger } = this.#c;
    const { signal } = this.#abort;
    const alive = (await nodes()).flatMap(({ info, alive: up }) => (up && info !== undefined ? [info] : []));
    const lanes = alive.map((node) => async (): Promise<void> => {
      for (const batch of this.#batches.values()) {
        if (signal.aborted || batch.told.has(node.id)) continue;
        const ids = batch.blocks.map((block) => block.blockId);
        try {
          await deleteCopies(node.address, ids, batch.markedAt, signal);
          batch.told.add(node.id);
        } catch (error) {
          logger.debug({ node: node.id, err: error }, 'a block node did not delete');
          return;
        }
      }
    });
    await Promise.all(
      Array.from({ length: GC_DELETES_IN_FLIGHT_MAX }, async () => {
        for (let lane = lanes.pop(); lane !== undefined; lane = lanes.pop()) await lane();
      }),
    );
    signal.throwIfAborted();
  }

  /** Drops the rows of batches whose copies are gone as far as that can be known now. */
  async #dropSettled(): Promise<void> {
    const { replica, timers, nodes } = this.#c;
    const alive = (await nodes()).filter((node) => node.alive);
    for (const batch of [...this.#batches.values()]) {
      this.#abort.signal.throwIfAborted();
      const age = timers.nowMs() - batch.sinceMs;
      if (age < Math.min(this.#graceMs, GC_SETTLE_MS) || alive.length === 0) continue;
      const all = alive.every(({ info }) => info === undefined || batch.told.has(info.id));
      if (!all && age < GC_DELETE_WAIT_MS) continue;
      const { markedAt } = batch;
      const blocks = batch.blocks.map(({ blockId }) => ({ blockId, markedAt }));
      await proposeCommand(replica, { $case: 'dropBlocks', value: { blocks } });
      this.#batches.delete(markedAt);
    }
  }
}
