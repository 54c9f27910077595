import type { BlockId } from '../base/ids.ts';
import {
  RING_TICK_MS,
  SURPLUS_DROP_PAUSE_BUSY_MS,
  SURPLUS_DROP_PAUSE_MS,
  SURPLUS_INTERVAL_MS,
  SURPLUS_PAGE_BLOCKS,
  SURPLUS_PAGE_BYTES,
  SURPLUS_PAGE_PAUSE_MS,
  SURPLUS_REGISTRY_WAIT_MS,
} from '../base/limits.ts';
import type { Member } from '../core/chord/types.ts';
import { takesBlocks } from '../core/namespace/block-nodes.ts';
import type { RepairProgress } from '../gen/ringfs/v1/block.ts';
import type { BlockEntry } from '../ports/block-store.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import type { LocalBlocks } from './local-blocks.ts';
import { OwnersInOrder } from './owners-in-order.ts';
import type { Pace } from './pace.ts';
import type { Peers } from './peers.ts';
import type { RegistryView } from './registry-view.ts';
import type { RingDriver } from './ring-driver.ts';
import { blockIdToWire } from './wire.ts';

export interface SurplusComponents {
  readonly ring: RingDriver;
  readonly registry: RegistryView;
  readonly peers: Peers;
  readonly local: LocalBlocks;
  readonly pace: Pace;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface SurplusOptions {
  readonly nodeId: string;
  readonly replicas: number;
  /** Nothing is dropped until the ring and the placement have been the same for this long. */
  readonly graceMs: number;
}

interface Candidate {
  readonly id: BlockId;
  readonly owners: readonly Member[];
}

/** What one owner is asked about. */
interface Share {
  readonly member: Member;
  readonly entries: BlockEntry[];
  /** It is the one that reads its copy of the block. */
  readonly read: boolean[];
}

/** The walk cannot go on: the ring has changed, or what this node knows is old. */
class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/**
 * Drops copies of blocks that this node does not own any more, once all R owners vouch for theirs. ARCHITECTURE.md, Surplus copies,
 * has the argument why R copies stay; it rests on the order in #dropPage.
 */
export class Surplus {
  readonly #c: SurplusComponents;
  readonly #options: SurplusOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #wake: AbortController | undefined;
  #dueMs: number;
  #changedAtMs: number;
  #placementChanges = 0;
  /** Answers of the registry. */
  #heard = 0;
  #dropped = { blocks: 0, bytes: 0 };
  /** Copies that the last whole walk left. */
  #left = 0;

  constructor(components: SurplusComponents, options: SurplusOptions) {
    this.#c = components;
    this.#options = options;
    this.#changedAtMs = components.timers.nowMs();
    this.#dueMs = this.#changedAtMs + options.graceMs;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake?.abort();
    await this.#running;
  }

  progress(): Pick<RepairProgress, 'droppedBlocks' | 'droppedBytes' | 'surplusBlocks'> {
    return {
      droppedBlocks: this.#dropped.blocks,
      droppedBytes: this.#dropped.bytes,
      surplusBlocks: this.#left,
    };
  }

  /** Owners may be new. */
  ringChanged(): void {
    this.#changedAtMs = this.#c.timers.nowMs();
    this.#dueMs = this.#changedAtMs + this.#options.graceMs;
    this.#wake?.abort();
  }

  /** A report was answered that was sent after the answer to the one before was heard. */
  registryHeard(placementChanged: boolean): void {
    this.#heard++;
    if (!placementChanged) return;
    this.#placementChanges++;
    this.ringChanged();
  }

  async #run(): Promise<void> {
    const { timers, logger } = this.#c;
    const { signal } = this.#abort;
    while (!signal.aborted) {
      const waitMs = this.#dueMs - timers.nowMs();
      if (waitMs > 0) {
        this.#wake = new AbortController();
        await timers.sleep(waitMs, this.#wake.signal).catch(() => {});
        this.#wake = undefined;
        continue;
      }
      this.#dueMs = Number.POSITIVE_INFINITY;
      try {
        const tookMs = await this.#walk();
        this.#dueAfter(Math.max(SURPLUS_INTERVAL_MS, 10 * tookMs));
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Interrupted)
          logger.debug({ why: error.message }, 'surplus copies are left for now');
        else logger.warn({ error }, 'the walk over surplus copies was interrupted');
        this.#dueAfter(SURPLUS_INTERVAL_MS / 4);
      }
    }
  }

  /** Unless a change of the ring has said earlier. */
  #dueAfter(delayMs: number): void {
    this.#dueMs = Math.min(this.#dueMs, this.#c.timers.nowMs() + delayMs);
  }

  /** Resolves with how long it took, in milliseconds. */
  async #walk(): Promise<number> {
    const { ring, local, pace, timers, logger } = this.#c;
    const { signal } = this.#abort;
    const startMs = timers.nowMs();
    const view = this.#view;
    const droppedBefore = this.#dropped.blocks;
    const owners = new OwnersInOrder(ring, this.#options.replicas);
    let left = 0;
    let candidates: Candidate[] = [];
    let bytes = 0;
    for (let after: BlockId | undefined; ; ) {
      this.#checkCalm();
      const page = await local.store.list(after, undefined, SURPLUS_PAGE_BLOCKS);
      after = undefined;
      for (const { id, length } of page) {
        after = id;
        const candidate = { id, owners: await owners.of(id) };
        if (!this.#isSurplus(candidate)) continue;
        candidates.push(candidate);
        bytes += length;
        // What is left of the page is listed again.
        if (candidates.length >= SURPLUS_PAGE_BLOCKS || bytes >= SURPLUS_PAGE_BYTES) break;
      }
      const full = candidates.length >= SURPLUS_PAGE_BLOCKS || bytes >= SURPLUS_PAGE_BYTES;
      if (full || (after === undefined && candidates.length > 0)) {
        left += candidates.length - (await this.#dropPage(candidates, view));
        candidates = [];
        bytes = 0;
        await timers.sleep(pace.busy ? SURPLUS_DROP_PAUSE_BUSY_MS : SURPLUS_DROP_PAUSE_MS, signal);
      }
      if (after === undefined) break;
      await timers.sleep(SURPLUS_PAGE_PAUSE_MS, signal);
    }
    this.#left = left;
    const dropped = this.#dropped.blocks - droppedBefore;
    if (dropped > 0) logger.info({ dropped, left }, 'dropped copies of blocks that other nodes own');
    return timers.nowMs() - startMs;
  }

  #isSurplus({ owners }: Candidate): boolean {
    const { nodeId, replicas } = this.#options;
    return owners.length === replicas && owners.every((member) => member.nodeId !== nodeId);
  }

  /** Throws Interrupted. */
  #checkCalm(): void {
    const { ring, registry, timers } = this.#c;
    if (this.#abort.signal.aborted) throw new Interrupted('this node stops');
    if (!ring.joined || !ring.core.settled) throw new Interrupted('the ring is not settled');
    if (timers.nowMs() - this.#changedAtMs < this.#options.graceMs)
      throw new Interrupted('the ring has changed');
    // A drained or removed node may be taken back with its copies.
    const { own } = registry;
    if (own === undefined || !takesBlocks(own)) throw new Interrupted('this node owns nothing');
  }

  /** Changes whenever what this node knows of owners does. */
  get #view(): number {
    return this.#c.ring.core.version + this.#placementChanges;
  }

  /**
   * The order is what makes it safe. From `begin` on, this node vouches for none of these blocks, and whoever is told of one of these
   * copies, or puts one, ends its drop. After that the registry is asked, then the owners. `view`: as of which these are the owners.
   * Resolves with how many are gone.
   */
  async #dropPage(candidates: readonly Candidate[], view: number): Promise<number> {
    const { local } = this.#c;
    const ids = candidates.map(({ id }) => id);
    try {
      await local.drops.begin(ids);
      await this.#hearRegistry();
      const entries = await local.store.stat(ids);
      const vouched = await this.#ask(candidates, entries);
      if (this.#view !== view) throw new Interrupted('the ring has changed');
      this.#checkCalm();
      const drops = candidates.flatMap(({ id, owners }, i) => {
        const entry = entries[i];
        const vouching = owners.filter(({ nodeId }) => vouched.get(nodeId)?.has(id) === true);
        const sure = new Set(vouching.map(({ nodeId }) => nodeId)).size === this.#options.replicas;
        return entry !== undefined && sure ? [this.#drop(entry)] : [];
      });
      const outcomes = await Promise.allSettled(drops);
      const failed = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value).length;
    } finally {
      local.drops.end(ids);
    }
  }

  async #drop(entry: BlockEntry): Promise<boolean> {
    const gone = await this.#c.local.drop(entry);
    if (gone) this.#dropped = { blocks: this.#dropped.blocks + 1, bytes: this.#dropped.bytes + entry.length };
    return gone;
  }

  /** Waits for an answer to a report that was sent after now: the next one may be to an earlier report. Throws Interrupted. */
  async #hearRegistry(): Promise<void> {
    const { timers } = this.#c;
    const wanted = this.#heard + 2;
    const endMs = timers.nowMs() + SURPLUS_REGISTRY_WAIT_MS;
    while (this.#heard < wanted) {
      if (timers.nowMs() >= endMs) throw new Interrupted('the registry does not answer');
      await timers.sleep(RING_TICK_MS, this.#abort.signal);
    }
  }

  /** Which blocks each owner vouches for. */
  async #ask(
    candidates: readonly Candidate[],
    entries: readonly (BlockEntry | undefined)[],
  ): Promise<ReadonlyMap<string, ReadonlySet<BlockId>>> {
    const shares = new Map<string, Share>();
    candidates.forEach(({ owners }, i) => {
      const entry = entries[i];
      if (entry === undefined || !owners.every(({ nodeId }) => this.#c.registry.serves(nodeId))) return;
      owners.forEach((member, k) => {
        const share = shares.get(member.nodeId) ?? { member, entries: [], read: [] };
        shares.set(member.nodeId, share);
        share.entries.push(entry);
        share.read.push(k === i % owners.length);
      });
    });
    const vouched = new Map<string, ReadonlySet<BlockId>>();
    await Promise.all(
      [...shares].map(async ([nodeId, share]) => {
        vouched.set(nodeId, await this.#askOwner(share));
      }),
    );
    return vouched;
  }

  /** An owner that does not answer, or does not know the question, vouches for none. */
  async #askOwner({ member, entries, read }: Share): Promise<ReadonlySet<BlockId>> {
    const { peers, logger } = this.#c;
    try {
      const value = {
        blockIds: entries.map(({ id }) => blockIdToWire(id)),
        uploadedAt: entries.map(({ uploadedAt }) => uploadedAt),
        read: [...read],
      };
      const reply = await peers.call(
        member.address,
        { $case: 'vouch', value },
        { signal: this.#abort.signal },
      );
      // An address that another node has taken over is not the owner that was asked.
      const same = peers.nodeAt(member.address) === member.nodeId;
      if (reply.$case === 'vouch' && same && reply.value.vouched.length === entries.length)
        return new Set(entries.filter((_, i) => reply.value.vouched[i]).map(({ id }) => id));
    } catch (error) {
      logger.debug({ to: member.nodeId, error }, 'an owner does not vouch for its copies');
    }
    return new Set();
  }
}
