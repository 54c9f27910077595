import type { Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { SegmentFiles } from './files.ts';
import { hasContent, RECORD_TOUCH, recordSize, SEGMENT_HEADER_BYTES } from './format.ts';
import { type ScannedRecord, scanSegment } from './scan.ts';
import type { SegmentUsage } from './segment-usage.ts';
import type { SegmentWriter } from './segment-writer.ts';

export interface CompactionComponents {
  readonly files: SegmentFiles;
  readonly writer: SegmentWriter;
  readonly usage: SegmentUsage;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly store: CompactedStore;
}

/** What compaction has the store do. */
export interface CompactedStore {
  /** Writes the record again if the index still refers to it. */
  move(segment: number, record: ScannedRecord): Promise<void>;
  /** Bytes that compaction may write. */
  space(): Promise<number>;
  /** Makes the index durable. Resolves with the segment before which no start looks for records. */
  checkpoint(): Promise<number>;
  /** Resolves when nobody reads the segment. */
  unread(segment: number): Promise<void>;
  /** It is going to be set aside. */
  damaged(segment: number): boolean;
  /** Puts and gets are under way. */
  busy(): boolean;
}

export interface CompactionOptions {
  readonly storeId: Uint8Array;
  readonly segmentSizeBytesMax: number;
}

/** A segment is rewritten when this part of it is dead, at the least. */
const DEAD_MIN = 0.5;
/** The same while the disk is nearly full, or when somebody asks. */
const DEAD_MIN_EAGER = 0.1;
/** A segment that is still written to is closed for it only if this is gained, relative to the size of a full one. */
const ACTIVE_DEAD_MIN = 0.25;
const ACTIVE_DEAD_MIN_EAGER = 1 / 64;
const PASS_INTERVAL_MS = 500;
/** What is copied per second while puts and gets are under way; without them, or in need of space, it is unlimited. */
const BUSY_BYTES_PER_SECOND = 16 * 1024 * 1024;
const MOVES_IN_FLIGHT_MAX = 8;

/**
 * Gives the space of dead records back. A segment without live ones is deleted; one with few has these written again
 * at the end of the store, then it is deleted. A file goes only when the index on disk does not refer to it, no start would
 * replay from it, and nobody reads it.
 */
export class Compaction {
  readonly #c: CompactionComponents;
  readonly #options: CompactionOptions;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #pass: Promise<void> | undefined;
  #wanted = false;
  #wake: (() => void) | undefined;
  /** Segments that could not be read, with the live bytes that they had: not tried again until these change. */
  readonly #unreadable = new Map<number, number>();

  constructor(components: CompactionComponents, options: CompactionOptions) {
    this.#c = components;
    this.#options = options;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#wake?.();
    await this.#running;
    await this.#pass;
  }

  /** Something died. */
  kick(): void {
    this.#wanted = true;
    this.#wake?.();
  }

  /** A pass that takes all that is worth it. Throws what the disk says. */
  async reclaim(): Promise<void> {
    // One that is under way may have looked already at what is dead now.
    await this.#pass?.catch(() => {});
    await this.#once(true);
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      if (!this.#wanted) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
      if (signal.aborted) return;
      this.#wanted = false;
      try {
        await this.#once(false);
        await this.#c.timers.sleep(PASS_INTERVAL_MS, signal);
      } catch (error) {
        if (signal.aborted) return;
        this.#c.logger.warn({ error }, 'compaction was interrupted');
        this.#wanted = true;
        await this.#c.timers.sleep(10 * PASS_INTERVAL_MS, signal).catch(() => {});
      }
    }
  }

  #once(eager: boolean): Promise<void> {
    this.#pass ??= this.#passOver(eager).finally(() => {
      this.#pass = undefined;
    });
    return this.#pass;
  }

  async #passOver(eager: boolean): Promise<void> {
    const { usage, writer } = this.#c;
    if (!usage.complete) return;
    await this.#removeDead(eager);
    // Each round takes one segment away and adds less than one.
    for (let rounds = writer.sizes.size + 1; rounds > 0 && !this.#abort.signal.aborted; rounds--) {
      const space = await this.#c.store.space();
      const low = space < 4 * this.#options.segmentSizeBytesMax;
      await this.#sealActive(eager || low);
      const segment = this.#worst(eager || low ? DEAD_MIN_EAGER : DEAD_MIN, space);
      if (segment === undefined) break;
      await this.#rewrite(segment, eager || low);
      await this.#removeDead(eager);
    }
  }

  /** All segments without live records, as far as they may go already. */
  async #removeDead(eager: boolean): Promise<void> {
    const { writer, usage } = this.#c;
    const active = writer.active;
    if (active !== undefined && usage.live(active) === 0 && this.#isWorthSealing(active, eager))
      await writer.seal();
    const dead = [...writer.sizes.keys()].filter(
      (n) => !writer.inUse(n) && usage.live(n) === 0 && !this.#c.store.damaged(n),
    );
    if (dead.length === 0) return;
    const replayFrom = await this.#c.store.checkpoint();
    for (const segment of dead) {
      if (segment >= replayFrom || this.#abort.signal.aborted) continue;
      await this.#remove(segment);
    }
  }

  async #remove(segment: number): Promise<void> {
    const { files, writer, usage, logger, store } = this.#c;
    await store.unread(segment);
    const bytes = writer.sizes.get(segment) ?? 0;
    await files.remove(segment);
    // A reader with an old index entry may have opened it in between, and would keep its space.
    await store.unread(segment);
    writer.removed(segment);
    usage.removed(segment);
    this.#unreadable.delete(segment);
    logger.debug({ segment, bytes }, 'deleted a segment');
  }

  #isWorthSealing(active: number, eager: boolean): boolean {
    const part = eager ? ACTIVE_DEAD_MIN_EAGER : ACTIVE_DEAD_MIN;
    return this.#dead(active) >= part * this.#options.segmentSizeBytesMax;
  }

  async #sealActive(eager: boolean): Promise<void> {
    const { writer } = this.#c;
    const active = writer.active;
    if (active === undefined) return;
    const part = this.#dead(active) / (writer.sizes.get(active) ?? 1);
    if (part >= (eager ? DEAD_MIN_EAGER : DEAD_MIN) && this.#isWorthSealing(active, eager))
      await writer.seal();
  }

  #dead(segment: number): number {
    return (this.#c.writer.sizes.get(segment) ?? 0) - SEGMENT_HEADER_BYTES - this.#c.usage.live(segment);
  }

  /** The segment with the largest dead part whose live part fits into `space`. */
  #worst(deadMin: number, space: number): number | undefined {
    const { writer, usage } = this.#c;
    let worst: number | undefined;
    let part = deadMin;
    for (const [segment, size] of writer.sizes) {
      const live = usage.live(segment);
      if (this.#c.store.damaged(segment)) continue;
      if (writer.inUse(segment) || live === 0 || live + SEGMENT_HEADER_BYTES > space) continue;
      if (this.#unreadable.get(segment) === live) continue;
      const dead = this.#dead(segment) / size;
      if (dead < part) continue;
      part = dead;
      worst = segment;
    }
    return worst;
  }

  async #rewrite(segment: number, hurry: boolean): Promise<void> {
    const { files, logger, usage } = this.#c;
    const { signal } = this.#abort;
    const { storeId } = this.#options;
    const liveBefore = usage.live(segment);
    const file = await files.open(segment, 'read');
    const moving = new Set<Promise<void>>();
    let failure: unknown;
    try {
      const options = { storeId, segment, from: SEGMENT_HEADER_BYTES, verifyContent: false };
      await scanSegment(file, options, async (record) => {
        // Deletes are not copied: what they deleted is older, and a start that meets it again only has an unused copy more.
        if (!hasContent(record.type) && record.type !== RECORD_TOUCH) return;
        if (failure !== undefined || signal.aborted) return;
        while (moving.size >= MOVES_IN_FLIGHT_MAX) await Promise.race(moving);
        const move: Promise<void> = this.#c.store
          .move(segment, record)
          .catch((error: unknown) => {
            failure ??= error;
          })
          .finally(() => moving.delete(move));
        moving.add(move);
        await this.#pace(recordSize(record.type, record.length), hurry);
      });
    } finally {
      await Promise.all(moving);
      await file.close();
    }
    if (failure !== undefined) throw failure;
    const left = usage.live(segment);
    if (left === 0 || signal.aborted) return;
    this.#unreadable.set(segment, left);
    logger.error({ segment, liveBefore, left }, 'a segment has records that cannot be read: it is kept');
  }

  async #pace(bytes: number, hurry: boolean): Promise<void> {
    if (hurry || !this.#c.store.busy()) return;
    await this.#c.timers.sleep((bytes * 1000) / BUSY_BYTES_PER_SECOND, this.#abort.signal);
  }
}
