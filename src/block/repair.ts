import type { BlockId } from '../base/ids.ts';
import {
  DRAIN_WALK_INTERVAL_MS,
  REPAIR_COPIES_IN_FLIGHT_MAX,
  REPAIR_DEBOUNCE_MS,
  REPAIR_INTERVAL_MS,
  REPAIR_PAGE_BLOCKS,
  REPAIR_PAGE_PAUSE_MS,
  REPAIR_QUEUE_MAX,
  REPAIR_RETRY_MS,
} from '../base/limits.ts';
import { toPosition } from '../core/chord/identifiers.ts';
import type { Member } from '../core/chord/types.ts';
import type { RepairProgress } from '../gen/ringfs/v1/block.ts';
import type { DrainProgress } from '../gen/ringfs/v1/namespace.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type Amount, WalkProgress } from './drain.ts';
import { hashOf, type LocalBlocks } from './local-blocks.ts';
import { OwnersInOrder } from './owners-in-order.ts';
import type { Pace } from './pace.ts';
import type { Peers } from './peers.ts';
import type { RingDriver } from './ring-driver.ts';
import { Semaphore } from './semaphore.ts';
import { blockIdToWire } from './wire.ts';

export interface RepairComponents {
  readonly ring: RingDriver;
  readonly peers: Peers;
  readonly local: LocalBlocks;
  readonly pace: Pace;
  readonly timers: Timers;
  readonly logger: Logger;
}

export interface RepairOptions {
  readonly nodeId: string;
  readonly replicas: number;
}

/** Which of some blocks a node has; undefined when it does not answer. */
type Presence = ReadonlyMap<BlockId, boolean> | undefined;

interface FetchedCopy {
  readonly content: Uint8Array;
  readonly uploadedAt: number;
}

interface Copy {
  readonly id: BlockId;
  readonly length: number;
}

interface PageBlock extends Copy {
  readonly owners: readonly Member[];
}

interface Outcome {
  /** This node should have made copies and could not. */
  readonly lacking: boolean;
  /** All owners have the block now. */
  readonly everywhere: boolean;
}

interface PageOutcome {
  /** Blocks that lack copies which this node should have made and could not. */
  readonly lacking: number;
  /** Blocks that are not on all of their owners. */
  readonly left: Amount;
}

/**
 * Keeps every block that this node holds on all its owners. It walks over its own blocks when the ring has changed
 * and now and then, asks the other owners which they have, and sends what they lack. Of several holders the first in
 * ring order sends. A copy that is found corrupt is replaced by one from another node.
 */
export class Repair {
  readonly #components: RepairComponents;
  readonly #options: RepairOptions;
  readonly #abort = new AbortController();
  readonly #copying = new Semaphore(REPAIR_COPIES_IN_FLIGHT_MAX, Number.MAX_SAFE_INTEGER);
  /** Blocks that a put has left without a copy, here or elsewhere. */
  readonly #reported = new Set<BlockId>();
  /** Blocks that lack copies which this node should have made and could not. They need not wait for the next walk. */
  readonly #lacking = new Set<BlockId>();
  /** Those of the last walk that there was no room for. */
  #lackingMore = 0;
  readonly #healing = new Map<BlockId, Promise<boolean>>();
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  #walkDueMs: number;
  #knownDueMs = Number.POSITIVE_INFINITY;
  #repaired = 0;
  #sent = { blocks: 0, bytes: 0 };
  readonly #progress = new WalkProgress();
  /** Owners that a block has when the ring is whole: with fewer, it is not known to be where it belongs. */
  #ownersExpected = 1;

  constructor(components: RepairComponents, options: RepairOptions) {
    this.#components = components;
    this.#options = options;
    this.#walkDueMs = components.timers.nowMs() + REPAIR_DEBOUNCE_MS;
  }

  /** Copies made, here or elsewhere, since the start. */
  get repaired(): number {
    return this.#repaired;
  }

  /** Blocks known to lack a copy. */
  get underReplicated(): number {
    return this.#reported.size + this.#lacking.size + this.#lackingMore;
  }

  /** Whether this node is to hand its blocks over, and whether all nodes place blocks without it by now. */
  setDrain(draining: boolean, agreed: boolean, ownersExpected: number): void {
    this.#ownersExpected = Math.max(1, ownersExpected);
    if (this.#progress.set(draining, agreed)) this.#schedule(0);
  }

  /** Undefined unless this node drains. */
  async drainProgress(): Promise<DrainProgress | undefined> {
    if (!this.#progress.draining) return undefined;
    const { blocks, storedBytes } = await this.#components.local.store.stats();
    return this.#progress.progress({ blocks, bytes: storedBytes });
  }

  progress(): Omit<RepairProgress, 'droppedBlocks' | 'droppedBytes' | 'surplusBlocks'> {
    const { walking, checked, total } = this.#progress;
    return {
      walking,
      checkedBlocks: checked,
      totalBlocks: total,
      copiedBlocks: this.#sent.blocks,
      copiedBytes: this.#sent.bytes,
      bytesPerSecondMax: this.#components.pace.bytesPerSecond,
    };
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake?.();
    await this.#running;
    await Promise.all([...this.#healing.values()]);
  }

  /** The ring has changed: owners may be new. */
  ringChanged(): void {
    this.#schedule(REPAIR_DEBOUNCE_MS);
    this.#walkDueMs = Math.max(this.#walkDueMs, this.#components.timers.nowMs() + REPAIR_DEBOUNCE_MS);
  }

  /** An owner of this block lacks it. */
  missingCopy(id: BlockId): void {
    if (this.#reported.size >= REPAIR_QUEUE_MAX) {
      this.#schedule(REPAIR_DEBOUNCE_MS);
      return;
    }
    this.#lacking.delete(id);
    this.#reported.add(id);
    this.#scheduleKnown(REPAIR_DEBOUNCE_MS);
  }

  /** Fetches a missing or corrupt copy from another node. Resolves with whether it did. Never rejects. */
  heal(id: BlockId): Promise<boolean> {
    let healing = this.#healing.get(id);
    if (healing === undefined) {
      healing = this.#copying
        .acquire(1)
        .then(() => this.#heal(id).finally(() => this.#copying.release(1)))
        .catch((error: unknown) => {
          this.#components.logger.warn({ block: id, error }, 'healing a block failed');
          return false;
        })
        .finally(() => this.#healing.delete(id));
      this.#healing.set(id, healing);
    }
    return healing;
  }

  #schedule(delayMs: number): void {
    this.#walkDueMs = Math.min(this.#walkDueMs, this.#components.timers.nowMs() + delayMs);
    this.#wake?.();
  }

  #scheduleKnown(delayMs: number): void {
    this.#knownDueMs = Math.min(this.#knownDueMs, this.#components.timers.nowMs() + delayMs);
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      await this.#untilDue();
      if (signal.aborted) return;
      try {
        if (this.#components.timers.nowMs() >= this.#knownDueMs) await this.#tryKnown();
        if (this.#components.timers.nowMs() >= this.#walkDueMs) await this.#walk();
      } catch (error) {
        if (signal.aborted) return;
        this.#progress.abandon();
        this.#components.logger.warn({ error }, 'block repair was interrupted');
        this.#walkDueMs = this.#components.timers.nowMs() + REPAIR_INTERVAL_MS / 4;
        this.#retryKnown(0);
      }
    }
  }

  /** Sleeps until a walk or what is known to lack copies is due, or something was scheduled earlier. */
  async #untilDue(): Promise<void> {
    const { timers } = this.#components;
    for (;;) {
      const wait = Math.min(this.#walkDueMs, this.#knownDueMs) - timers.nowMs();
      if (this.#abort.signal.aborted || wait <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = timers.after(wait, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
      this.#wake = undefined;
    }
  }

  /** Blocks that are known to lack copies. */
  async #tryKnown(): Promise<void> {
    const { local, timers } = this.#components;
    const startMs = timers.nowMs();
    this.#knownDueMs = Number.POSITIVE_INFINITY;
    const ids = [...new Set([...this.#reported, ...this.#lacking])].sort();
    for (let i = 0; i < ids.length; i += REPAIR_PAGE_BLOCKS) {
      const page = ids.slice(i, i + REPAIR_PAGE_BLOCKS);
      const reported = new Set(page.filter((id) => this.#reported.delete(id)));
      for (const id of reported) this.#lacking.add(id);
      const good = await local.has(page);
      const held = await local.store.stat(page.filter((_, k) => good[k]));
      const absent = page.filter((_, k) => !good[k]);
      // One that was here before has been deleted since, or belongs to others.
      await Promise.all(absent.filter((id) => reported.has(id)).map((id) => this.heal(id)));
      for (const id of absent) this.#lacking.delete(id);
      await this.#repairPage(held.filter((entry) => entry !== undefined));
      await this.#pause();
    }
    this.#retryKnown(timers.nowMs() - startMs);
  }

  /** `tookMs`: the last try. */
  #retryKnown(tookMs: number): void {
    const known = this.#reported.size + this.#lacking.size;
    if (known > 0) this.#scheduleKnown(Math.max(REPAIR_RETRY_MS, 4 * tookMs));
    else if (this.#lackingMore > 0) this.#schedule(0);
  }

  async #walk(): Promise<void> {
    const { local, timers, logger } = this.#components;
    const startMs = timers.nowMs();
    this.#walkDueMs = Number.POSITIVE_INFINITY;
    let lackingBlocks = 0;
    const repairedBefore = this.#repaired;
    const stats = await local.store.stats();
    this.#progress.begin({ blocks: stats.blocks, bytes: stats.storedBytes });
    let after: BlockId | undefined;
    let blocks = 0;
    for (;;) {
      const page = await local.store.list(after, undefined, REPAIR_PAGE_BLOCKS);
      if (page.length === 0) break;
      blocks += page.length;
      after = page.at(-1)!.id;
      const { lacking, left } = await this.#repairPage(page);
      lackingBlocks += lacking;
      const bytes = page.reduce((sum, { length }) => sum + length, 0);
      this.#progress.page({ blocks: page.length, bytes }, left);
      await this.#pause();
    }
    this.#progress.end();
    const full = this.#lacking.size >= REPAIR_QUEUE_MAX;
    this.#lackingMore = full ? Math.max(0, lackingBlocks - this.#lacking.size) : 0;
    this.#retryKnown(0);
    const tookMs = timers.nowMs() - startMs;
    const repaired = this.#repaired - repairedBefore;
    logger.info({ blocks, repaired, lacking: lackingBlocks, tookMs }, 'walked over all blocks');
    // A walk takes a small part of the time, however many blocks there are.
    const watched = this.#progress.draining && !this.#progress.done;
    const delayMs = watched
      ? Math.max(DRAIN_WALK_INTERVAL_MS, tookMs)
      : Math.max(REPAIR_INTERVAL_MS, 10 * tookMs);
    this.#walkDueMs = Math.min(this.#walkDueMs, timers.nowMs() + delayMs);
  }

  async #pause(): Promise<void> {
    await this.#components.timers.sleep(REPAIR_PAGE_PAUSE_MS, this.#abort.signal);
  }

  /** `copies` are in the order of their ids. */
  async #repairPage(copies: readonly Copy[]): Promise<PageOutcome> {
    const { nodeId } = this.#options;
    const blocks: PageBlock[] = [];
    const owners = new OwnersInOrder(this.#components.ring, this.#options.replicas);
    for (const { id, length } of copies) blocks.push({ id, length, owners: await owners.of(id) });
    const asked = new Map<string, { readonly member: Member; readonly ids: BlockId[] }>();
    for (const { id, owners } of blocks) {
      for (const member of owners) {
        if (member.nodeId === nodeId) continue;
        const entry = asked.get(member.nodeId) ?? { member, ids: [] };
        asked.set(member.nodeId, entry);
        entry.ids.push(id);
      }
    }
    const presence = new Map<string, Presence>();
    await Promise.all(
      [...asked].map(async ([other, entry]) => presence.set(other, await this.#ask(entry.member, entry.ids))),
    );
    const outcomes = await Promise.all(blocks.map((block) => this.#repairBlock(block, presence)));
    const left = blocks.filter((_, i) => !outcomes[i]!.everywhere);
    blocks.forEach(({ id }, i) => {
      if (!outcomes[i]!.lacking) this.#lacking.delete(id);
      else if (this.#lacking.size < REPAIR_QUEUE_MAX) this.#lacking.add(id);
    });
    return {
      lacking: outcomes.filter(({ lacking }) => lacking).length,
      left: { blocks: left.length, bytes: left.reduce((sum, { length }) => sum + length, 0) },
    };
  }

  async #ask(member: Member, ids: readonly BlockId[]): Promise<Presence> {
    const { peers, logger } = this.#components;
    try {
      const has = { $case: 'has', value: { blockIds: ids.map(blockIdToWire) } } as const;
      const reply = await peers.call(member.address, has, { signal: this.#abort.signal });
      if (reply.$case !== 'has' || reply.value.present.length !== ids.length) return undefined;
      return new Map(ids.map((id, i) => [id, reply.value.present[i]!]));
    } catch (error) {
      logger.debug({ to: member.nodeId, error }, 'repair cannot ask an owner');
      return undefined;
    }
  }

  async #repairBlock(
    { id, length, owners }: PageBlock,
    presence: ReadonlyMap<string, Presence>,
  ): Promise<Outcome> {
    const { nodeId } = this.#options;
    // The first owner that has the block sends it to the others; without one, whoever holds it does.
    const has = (member: Member): boolean =>
      member.nodeId === nodeId || presence.get(member.nodeId)?.get(id) === true;
    const sender = owners.find(has);
    const missing = owners.filter((member) => !has(member));
    if (sender !== undefined && sender.nodeId !== nodeId && missing.length > 0)
      return { lacking: false, everywhere: false };
    let lacking = false;
    for (const member of missing) {
      const answered = presence.get(member.nodeId) !== undefined;
      if (!answered || this.#abort.signal.aborted || !(await this.#copyTo(member, id, length)))
        lacking = true;
    }
    return { lacking, everywhere: !lacking && owners.length >= this.#ownersExpected };
  }

  async #copyTo(member: Member, id: BlockId, length: number): Promise<boolean> {
    const { local, peers, pace, logger } = this.#components;
    await this.#copying.acquire(1);
    try {
      if (this.#abort.signal.aborted) return false;
      await pace.take(length, this.#abort.signal);
      // It may have got the block from somebody else while this one waited for its turn.
      if ((await this.#ask(member, [id]))?.get(id) === true) return true;
      // The copy is no later upload than its source.
      const [entry] = await local.store.stat([id]);
      const data = await local.getVerified(id);
      // Garbage collection has deleted it since it was listed, here and there.
      if (data === 'missing') return true;
      if (data === 'corrupt') {
        void this.heal(id);
        return false;
      }
      const value = { blockId: blockIdToWire(id), data, replicate: false, uploadedAt: entry?.uploadedAt };
      const put = { $case: 'put', value } as const;
      const reply = await peers.call(member.address, put, { lane: 'data', signal: this.#abort.signal });
      if (reply.$case !== 'put') {
        logger.warn({ block: id, to: member.nodeId, reply: reply.$case }, 'repair could not store a copy');
        return false;
      }
      this.#repaired++;
      this.#sent = { blocks: this.#sent.blocks + 1, bytes: this.#sent.bytes + data.length };
      return true;
    } catch (error) {
      logger.debug({ block: id, to: member.nodeId, error }, 'repair could not send a copy');
      return false;
    } finally {
      this.#copying.release(1);
    }
  }

  async #heal(id: BlockId): Promise<boolean> {
    const { local, ring, logger } = this.#components;
    if (this.#abort.signal.aborted) return false;
    const state = await local.verify(id);
    if (state === 'good') return true;
    const { owners } = await ring.lookup(toPosition(id), this.#options.replicas + 1);
    const data = (await this.#fetch(id, owners)) ?? (await this.#fetch(id, this.#othersWith(owners)));
    if (this.#abort.signal.aborted) return false;
    if (data === undefined) {
      // A bad copy stays: it does not count as one, its damage may pass (a disk that could not be read), and nobody has a better.
      logger.error({ block: id, state }, 'no good copy of a block was found');
      return false;
    }
    if (state === 'corrupt') await local.replace(id, data.content, data.uploadedAt);
    else await local.put(id, data.content, data.uploadedAt);
    this.#repaired++;
    logger.info({ block: id, state }, 'fetched a good copy of a block');
    return true;
  }

  /** One member of each further node: after a change of the ring, the last good copy may be at none of the owners. */
  #othersWith(asked: readonly Member[]): Member[] {
    const others = new Map(this.#components.ring.core.knownMembers().map((m) => [m.nodeId, m]));
    for (const { nodeId } of asked) others.delete(nodeId);
    return [...others.values()];
  }

  async #fetch(id: BlockId, owners: readonly Member[]): Promise<FetchedCopy | undefined> {
    const { peers, logger } = this.#components;
    for (const member of owners) {
      if (member.nodeId === this.#options.nodeId) continue;
      try {
        const value = { blockId: blockIdToWire(id), withUploadedAt: true };
        const get = { $case: 'get', value } as const;
        const reply = await peers.call(member.address, get, { lane: 'data', signal: this.#abort.signal });
        if (reply.$case === 'get' && hashOf(reply.value.data) === id)
          return { content: reply.value.data, uploadedAt: reply.value.uploadedAt ?? 0 };
      } catch (error) {
        logger.debug({ block: id, from: member.nodeId, error }, 'cannot fetch a copy');
      }
    }
    return undefined;
  }
}
