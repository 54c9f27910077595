import { assert } from '../../base/assert.ts';
import type { Logger } from '../../ports/logger.ts';
import type { SegmentFile, SegmentFiles } from './files.ts';
import {
  alignUp,
  encodeRecordHeader,
  encodeSegmentHeader,
  type RecordHeader,
  type RecordPosition,
  recordSize,
  SEGMENT_HEADER_BYTES,
} from './format.ts';

export interface SegmentWriterOptions {
  readonly storeId: Uint8Array;
  readonly clusterId: string;
  readonly nodeId: string;
  readonly segmentSizeBytesMax: number;
  /** Number of the newest segment there is; 0 for none. */
  readonly lastSegment: number;
}

/** A record that lies in its file, though perhaps not on the disk yet. */
export interface WrittenRecord extends RecordPosition {
  readonly end: number;
}

/** What a record did to the store when it was committed. */
export interface RecordEffect {
  readonly blocks: number;
  readonly bytes: number;
}

/** Every record before `position` is released, and the sums are of exactly those records. */
export interface CommittedPrefix {
  readonly position: RecordPosition | undefined;
  readonly blocks: number;
  readonly storedBytes: number;
}

interface TrackedRecord {
  readonly record: WrittenRecord;
  released: boolean;
  effect: RecordEffect | undefined;
}

interface OpenSegment {
  readonly number: number;
  readonly file: SegmentFile;
  /** Where the next record goes. */
  tail: number;
  /** End of the last record that was written whole. */
  goodEnd: number;
  writing: number;
  /** Records not yet released by the committer. */
  unreleased: number;
  state: 'open' | 'torn' | 'sealed';
  onIdle: (() => void) | undefined;
}

const PADDING = new Uint8Array(64);

/**
 * The write end of the segments. Offsets are given out synchronously and writes run concurrently. After a failed
 * write the segment is cut back to its last whole record before anything else is appended.
 */
export class SegmentWriter {
  readonly #files: SegmentFiles;
  readonly #logger: Logger;
  readonly #options: SegmentWriterOptions;
  readonly #segments = new Map<number, OpenSegment>();
  /** Records behind the committed prefix, in the order of their positions. */
  readonly #tracked = new Map<WrittenRecord, TrackedRecord>();
  #prefix: CommittedPrefix;
  #active: OpenSegment | undefined;
  #lastSegment: number;
  #turning: Promise<void> | undefined;
  /** Bytes of each segment file. */
  readonly #sizes: Map<number, number>;
  #fileBytes: number;

  constructor(
    components: { readonly files: SegmentFiles; readonly logger: Logger },
    options: SegmentWriterOptions,
    recovered: {
      readonly sizes: ReadonlyMap<number, number>;
      readonly blocks: number;
      readonly storedBytes: number;
    },
  ) {
    this.#files = components.files;
    this.#logger = components.logger;
    this.#options = options;
    this.#lastSegment = options.lastSegment;
    this.#sizes = new Map(recovered.sizes);
    this.#fileBytes = [...this.#sizes.values()].reduce((sum, size) => sum + size, 0);
    this.#prefix = { position: undefined, blocks: recovered.blocks, storedBytes: recovered.storedBytes };
  }

  /** Bytes in all segment files. */
  get fileBytes(): number {
    return this.#fileBytes;
  }

  /** Segment files by number, with their bytes. */
  get sizes(): ReadonlyMap<number, number> {
    return this.#sizes;
  }

  /** Whether something may still be written to the segment or waits for it. */
  inUse(segment: number): boolean {
    return this.#segments.has(segment);
  }

  get active(): number | undefined {
    return this.#active?.number;
  }

  /** What comes from now on goes to a new segment. */
  async seal(): Promise<void> {
    const active = this.#active;
    if (active?.tail === SEGMENT_HEADER_BYTES) return;
    if (active?.state === 'open') active.state = 'sealed';
    await this.#turnOnce();
  }

  /** The file has been deleted. */
  removed(segment: number): void {
    assert(!this.inUse(segment), 'a segment that is deleted is not written to');
    this.#grow(segment, -(this.#sizes.get(segment) ?? 0));
    this.#sizes.delete(segment);
  }

  /** Go on at the end of an existing segment. */
  async resume(tail: RecordPosition): Promise<void> {
    assert(this.#active === undefined, 'resume a fresh writer');
    const file = await this.#files.open(tail.segment, 'append');
    this.#active = openSegment(tail.segment, file, tail.offset);
    this.#segments.set(tail.segment, this.#active);
    this.#prefix = { ...this.#prefix, position: tail };
  }

  /** Writes a record. It must be released once it is committed or given up. */
  async append({ type, id, length, uploadedAt }: RecordHeader, content?: Uint8Array): Promise<WrittenRecord> {
    const size = recordSize(type, length);
    let segment = this.#withRoom(size);
    while (segment === undefined) {
      await this.#turnOnce();
      segment = this.#withRoom(size);
    }
    // No await between the look at the tail and its move.
    const offset = segment.tail;
    const record: WrittenRecord = { segment: segment.number, offset, end: offset + size };
    segment.tail += size;
    segment.writing++;
    segment.unreleased++;
    this.#tracked.set(record, { record, released: false, effect: undefined });
    this.#grow(segment.number, size);
    const header = encodeRecordHeader(this.#options.storeId, record, { type, id, length, uploadedAt });
    const padding = PADDING.subarray(0, content === undefined ? 0 : alignUp(length) - length);
    try {
      await segment.file.write(content === undefined ? [header] : [header, content, padding], offset);
      segment.goodEnd = Math.max(segment.goodEnd, record.end);
      return record;
    } catch (error) {
      if (segment.state === 'open') segment.state = 'torn';
      this.release(record, undefined);
      throw error;
    } finally {
      segment.writing--;
      if (segment.writing === 0) segment.onIdle?.();
    }
  }

  /** Makes everything written to this segment so far durable. After a failure nothing more is appended to it. */
  async sync(segment: number): Promise<void> {
    const open = this.#segments.get(segment);
    assert(open !== undefined, 'a segment with unreleased records is open');
    try {
      await open.file.sync();
    } catch (error) {
      // The kernel may have dropped the dirty pages and report success the next time: never trust this file's end again.
      open.state = 'sealed';
      throw error;
    }
  }

  /** The record is committed with this effect, or given up. Only the first call for a record counts. */
  release(record: WrittenRecord, effect: RecordEffect | undefined): void {
    const tracked = this.#tracked.get(record);
    if (tracked === undefined || tracked.released) return;
    tracked.released = true;
    tracked.effect = effect;
    this.#advancePrefix();
    const segment = this.#segments.get(record.segment);
    assert(segment !== undefined, 'segment of an unreleased record');
    segment.unreleased--;
    if (segment !== this.#active && segment.unreleased === 0 && segment.writing === 0) this.#forget(segment);
  }

  get prefix(): CommittedPrefix {
    // With nothing under way, what lies before a new segment is all committed.
    const active = this.#active;
    const { position } = this.#prefix;
    if (active !== undefined && this.#tracked.size === 0 && (position?.segment ?? 0) < active.number) {
      this.#prefix = {
        ...this.#prefix,
        position: { segment: active.number, offset: SEGMENT_HEADER_BYTES },
      };
    }
    return this.#prefix;
  }

  async close(): Promise<void> {
    await this.#turning?.catch(() => {});
    for (const segment of this.#segments.values()) await segment.file.close();
    this.#segments.clear();
    this.#active = undefined;
  }

  #advancePrefix(): void {
    for (const { record, released, effect } of this.#tracked.values()) {
      if (!released) return;
      this.#tracked.delete(record);
      // The place of a record that was given up may be written again, so it does not move the position.
      if (effect === undefined) continue;
      this.#prefix = {
        position: { segment: record.segment, offset: record.end },
        blocks: this.#prefix.blocks + effect.blocks,
        storedBytes: this.#prefix.storedBytes + effect.bytes,
      };
    }
  }

  #withRoom(size: number): OpenSegment | undefined {
    const active = this.#active;
    if (active?.state !== 'open') return undefined;
    const fits = active.tail + size <= this.#options.segmentSizeBytesMax;
    return fits || active.tail === SEGMENT_HEADER_BYTES ? active : undefined;
  }

  #grow(segment: number, bytes: number): void {
    this.#sizes.set(segment, (this.#sizes.get(segment) ?? 0) + bytes);
    this.#fileBytes += bytes;
  }

  #turnOnce(): Promise<void> {
    this.#turning ??= this.#turn().finally(() => {
      this.#turning = undefined;
    });
    return this.#turning;
  }

  async #turn(): Promise<void> {
    const active = this.#active;
    if (active?.state === 'torn') await this.#mend(active);
    else await this.#rotate();
  }

  /** Cuts off what a failed write left. Whole records behind a failed one stay: a scan steps over the gap. */
  async #mend(segment: OpenSegment): Promise<void> {
    if (segment.writing > 0) {
      await new Promise<void>((resolve) => {
        segment.onIdle = resolve;
      });
      segment.onIdle = undefined;
    }
    try {
      await segment.file.truncate(segment.goodEnd);
      this.#grow(segment.number, segment.goodEnd - segment.tail);
      segment.tail = segment.goodEnd;
      if (segment.state === 'torn') segment.state = 'open';
    } catch (error) {
      this.#logger.error({ segment: segment.number, error }, 'cannot cut a torn segment: sealing it');
      segment.state = 'sealed';
    }
  }

  async #rotate(): Promise<void> {
    const number = this.#lastSegment + 1;
    const file = await this.#files.create(number);
    // Its name is taken even if what follows fails.
    this.#lastSegment = number;
    try {
      const { storeId, clusterId, nodeId } = this.#options;
      await file.write([encodeSegmentHeader({ segment: number, storeId, clusterId, nodeId })], 0);
      await file.sync();
    } catch (error) {
      await file.close();
      // On a full disk there would be one more for every try.
      await this.#files.remove(number).catch(() => {});
      throw error;
    }
    const old = this.#active;
    this.#grow(number, SEGMENT_HEADER_BYTES);
    this.#active = openSegment(number, file, SEGMENT_HEADER_BYTES);
    this.#segments.set(number, this.#active);
    if (old !== undefined && old.unreleased === 0 && old.writing === 0) this.#forget(old);
  }

  #forget(segment: OpenSegment): void {
    this.#segments.delete(segment.number);
    segment.file.close().catch((error: unknown) => {
      this.#logger.warn({ segment: segment.number, error }, 'closing a segment failed');
    });
  }
}

function openSegment(number: number, file: SegmentFile, tail: number): OpenSegment {
  return { number, file, tail, goodEnd: tail, writing: 0, unreleased: 0, state: 'open', onIdle: undefined };
}
