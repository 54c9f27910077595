import { createHash } from 'node:crypto';
import { assert } from '../../base/assert.ts';
import type { BlockId } from '../../base/ids.ts';
import { BLOCK_SIZE_BYTES_MAX, SEGMENT_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import {
  type BlockEntry,
  type BlockStore,
  BlockStoreError,
  type BlockStoreStats,
  type DeleteOutcome,
  type StoreInspection,
} from '../../ports/block-store.ts';
import type { Timers } from '../../ports/clock.ts';
import type { KvStore } from '../../ports/kv-store.ts';
import type { Logger } from '../../ports/logger.ts';
import { BlockIndex, type IndexEntry } from './block-index.ts';
import { type Change, Committer } from './committer.ts';
import { Compaction } from './compaction.ts';
import { DiskSpace } from './disk-space.ts';
import type { SegmentFiles } from './files.ts';
import {
  RECORD_DELETE,
  RECORD_MOVE,
  RECORD_PUT,
  RECORD_TOUCH,
  recordSize,
  SEGMENT_HEADER_BYTES,
  STORE_ID_BYTES,
} from './format.ts';
import { Inspection } from './inspection.ts';
import { type RecoveredStore, recoverStore } from './recovery.ts';
import type { ScannedRecord } from './scan.ts';
import { readBlock, SegmentReaders } from './segment-readers.ts';
import { SegmentUsage } from './segment-usage.ts';
import { SegmentWriter } from './segment-writer.ts';
import { storeError } from './store-error.ts';

export interface SegmentStoreComponents {
  readonly files: SegmentFiles;
  /** For the index alone; nothing else may use it. The store closes it. */
  readonly kv: KvStore;
  /** A row of the index is not as it was written. */
  readonly onIndexDamaged?: (reason: string) => Promise<void>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

export interface SegmentStoreOptions {
  readonly clusterId: string;
  readonly nodeId: string;
  /** Bytes that all segments together may take. Default: what the disk has. */
  readonly capacityBytes?: number;
  /** Bytes to leave free on the disk, for the index and for others. Default 64 MiB. */
  readonly reserveBytes?: number;
  /** Default: a part of the capacity, so that the room to rewrite one is not much of it. */
  readonly segmentSizeBytesMax?: number;
  /** Content at the end of the segments that is read and hashed to build the index anew. Default 512 MiB. */
  readonly rebuildVerifyBytes?: number;
}

/** Records to read and hash at the next start are fewer than this many bytes. */
const CHECKPOINT_INTERVAL_BYTES = 64 * 1024 * 1024;
const RESERVE_BYTES_DEFAULT = 64 * 1024 * 1024;
/** Kept free for compaction: what a segment may need while it is rewritten. */
const HEADROOM_PART = 1 / 16;
const SEGMENT_SIZE_BYTES_MIN = 8 * 1024 * 1024;
/** A reader that finds the block moved this often in a row gives up. */
const READ_ATTEMPTS_MAX = 8;
const COUNTING_PAUSE_MS = 2;

/** Opens the store and recovers what a crash left (see recovery.ts). Throws BlockStoreError. */
export async function openSegmentStore(
  components: SegmentStoreComponents,
  options: SegmentStoreOptions,
): Promise<BlockStore> {
  const { files, kv, logger, timers } = components;
  const index = new BlockIndex({ kv, onDamaged: components.onIndexDamaged });
  const recovered = await recoverStore({ files, index, logger }, options).catch((error: unknown) => {
    throw storeError(error);
  });
  const { totalBytes } = await files.space().catch((error: unknown) => {
    throw storeError(error);
  });
  const roomBytes = Math.min(totalBytes, options.capacityBytes ?? totalBytes) * HEADROOM_PART;
  const segmentSizeBytesMax =
    options.segmentSizeBytesMax ??
    Math.max(SEGMENT_SIZE_BYTES_MIN, Math.min(SEGMENT_SIZE_BYTES_MAX, Math.floor(roomBytes)));
  const storeId = recovered.storeId ?? components.random.bytes(STORE_ID_BYTES);
  const { clusterId, nodeId } = options;
  const writer = new SegmentWriter(
    { files, logger },
    { storeId, clusterId, nodeId, segmentSizeBytesMax, lastSegment: recovered.lastSegment },
    recovered,
  );
  const space = new DiskSpace(
    { files, clock: timers, fileBytes: () => writer.fileBytes },
    {
      capacityBytes: options.capacityBytes,
      reserveBytes: options.reserveBytes ?? RESERVE_BYTES_DEFAULT,
      headroomBytes: Math.min(segmentSizeBytesMax, Math.floor(roomBytes)),
    },
  );
  const store = new SegmentStore(
    { ...components, index, writer, space },
    { storeId, segmentSizeBytesMax },
    recovered,
  );
  try {
    if (recovered.tail !== undefined) await writer.resume(recovered.tail);
    await store.start();
  } catch (error) {
    await writer.close().catch(() => {});
    throw storeError(error);
  }
  logger.info({ blocks: recovered.blocks, storedBytes: recovered.storedBytes }, 'block store is open');
  return store;
}

interface Parts extends SegmentStoreComponents {
  readonly index: BlockIndex;
  readonly writer: SegmentWriter;
  readonly space: DiskSpace;
}

/**
 * Blocks in append-only segment files with an index beside them. A put is one writev at an offset of its own, one
 * fdatasync shared with all puts that wait at that time, and one index write shared likewise.
 */
class SegmentStore implements BlockStore {
  readonly #components: Parts;
  readonly #index: BlockIndex;
  readonly #writer: SegmentWriter;
  readonly #readers: SegmentReaders;
  readonly #space: DiskSpace;
  readonly #usage = new SegmentUsage();
  readonly #compaction: Compaction;
  readonly #inspection: Inspection;
  #unread: boolean;
  #inspecting: Promise<unknown> = Promise.resolve();
  readonly #storeId: Uint8Array;
  /** Changes of one block take turns. The promises never reject. */
  readonly #busy = new Map<BlockId, Promise<void>>();
  /** Blocks that a failed delete may have deleted on the disk, though they are in the index. */
  readonly #doubtful = new Set<BlockId>();
  #moving = 0;
  #reads = 0;
  #onReadsDone: (() => void) | undefined;
  readonly #committer: Committer;
  #checkpointing: Promise<number> | undefined;
  #counting: Promise<void> | undefined;
  #blocks: number;
  #storedBytes: number;
  #checkpointedFileBytes: number;
  readonly #closing = new AbortController();

  constructor(
    components: Parts,
    options: { readonly storeId: Uint8Array; readonly segmentSizeBytesMax: number },
    recovered: Pick<RecoveredStore, 'blocks' | 'storedBytes' | 'unread' | 'damaged'>,
  ) {
    this.#components = components;
    this.#index = components.index;
    this.#writer = components.writer;
    this.#space = components.space;
    const { files, timers, logger, writer, space } = components;
    this.#readers = new SegmentReaders({ files });
    this.#storeId = options.storeId;
    this.#blocks = recovered.blocks;
    this.#storedBytes = recovered.storedBytes;
    this.#unread = recovered.unread;
    this.#checkpointedFileBytes = writer.fileBytes;
    this.#committer = new Committer(
      { index: components.index, writer, logger },
      {
        onCommitted: ({ before }, after, effect) => {
          this.#blocks += effect.blocks;
          this.#storedBytes += effect.bytes;
          this.#usage.replaced(before, after);
        },
      },
    );
    const store = {
      move: (segment: number, record: ScannedRecord) => this.#move(segment, record),
      space: () => space.forCompaction(),
      checkpoint: () => this.#checkpoint(),
      unread: (segment: number) => this.#readers.retire(segment),
      damaged: (segment: number) => this.#inspection.isDamaged(segment),
      busy: () => this.#busy.size > this.#moving || this.#reads > 0,
    };
    this.#compaction = new Compaction({ files, writer, usage: this.#usage, timers, logger, store }, options);
    const evacuate = (id: BlockId, entry: IndexEntry, what: 'block' | 'touch'): Promise<boolean> =>
      this.#evacuate(id, entry, what);
    this.#inspection = new Inspection(
      { files, index: this.#index, writer, usage: this.#usage, logger, store: { ...store, evacuate } },
      { storeId: options.storeId, damaged: recovered.damaged },
    );
  }

  /** Counts in the background what each segment holds; nothing is compacted before that is known. */
  async start(): Promise<void> {
    const { timers, logger } = this.#components;
    const { signal } = this.#closing;
    const { done } = await this.#usage.load(this.#index, () => timers.sleep(COUNTING_PAUSE_MS, signal));
    this.#counting = done.then(
      () => this.#compaction.kick(),
      (error: unknown) => {
        if (!signal.aborted) logger.error({ error }, 'the index could not be counted: nothing is compacted');
      },
    );
    this.#compaction.start();
  }

  put(id: BlockId, data: Uint8Array, uploadedAt = 0): Promise<{ existed: boolean }> {
    assert(data.length <= BLOCK_SIZE_BYTES_MAX, 'block is too large');
    return this.#exclusive(id, async () => {
      const before = await this.#index.get(id);
      if (before !== undefined && !this.#doubtful.has(id)) {
        await this.#raise(id, before, uploadedAt);
        return { existed: true };
      }
      const atLeast = Math.max(uploadedAt, before?.uploadedAt ?? 0);
      await this.#takeSpace(recordSize(RECORD_PUT, data.length));
      await this.#append({ type: RECORD_PUT, id, length: data.length, uploadedAt: atLeast, before }, data);
      this.#doubtful.delete(id);
      return { existed: false };
    });
  }

  touch(ids: readonly BlockId[], uploadedAt: number): Promise<boolean[]> {
    const one = (id: BlockId): Promise<boolean> =>
      this.#exclusive(id, async () => {
        const before = await this.#index.get(id);
        if (before === undefined || this.#doubtful.has(id)) return false;
        await this.#raise(id, before, uploadedAt);
        return true;
      });
    return Promise.all(ids.map(one));
  }

  delete(id: BlockId, before?: number): Promise<DeleteOutcome> {
    return this.#exclusive(id, async () => {
      const entry = await this.#index.get(id);
      if (entry === undefined) return 'missing';
      if (before !== undefined && entry.uploadedAt >= before) return 'kept';
      this.#doubtful.add(id);
      await this.#append({ type: RECORD_DELETE, id, length: entry.length, uploadedAt: 0, before: entry });
      this.#doubtful.delete(id);
      this.#compaction.kick();
      return 'deleted';
    });
  }

  get(id: BlockId): Promise<Uint8Array | undefined> {
    return this.#reading(async () => {
      let last: IndexEntry | undefined;
      for (let attempt = 0; ; attempt++) {
        const entry = await this.#index.get(id);
        if (entry === undefined) return undefined;
        try {
          return await this.#readRecord(id, entry);
        } catch (error) {
          // The block may have been replaced or moved between the look into the index and the read.
          const moved = last?.segment !== entry.segment || last.offset !== entry.offset;
          if (!moved || attempt >= READ_ATTEMPTS_MAX || !(error instanceof BlockStoreError)) throw error;
          last = entry;
        }
      }
    });
  }

  has(ids: readonly BlockId[]): Promise<boolean[]> {
    return this.#reading(async () => {
      const entries = await this.#index.getMany(ids);
      return entries.map((entry, i) => entry !== undefined && !this.#doubtful.has(ids[i]!));
    });
  }

  stat(ids: readonly BlockId[]): Promise<(BlockEntry | undefined)[]> {
    return this.#reading(async () => {
      const entries = await this.#index.getMany(ids);
      return entries.map((entry, i) => {
        if (entry === undefined) return undefined;
        return { id: ids[i]!, length: entry.length, uploadedAt: entry.uploadedAt };
      });
    });
  }

  list(after: BlockId | undefined, until: BlockId | undefined, limit: number): Promise<BlockEntry[]> {
    return this.#reading(() => this.#index.list(after, until, limit));
  }

  reclaim(): Promise<void> {
    return this.#reading(async () => {
      await this.#counting;
      await this.#compaction.reclaim();
    });
  }

  inspect(limit: number): Promise<StoreInspection> {
    return this.#reading(async () => {
      await this.#counting;
      // One after the other.
      const inspection = this.#inspecting.then(() => this.#inspection.run(limit));
      this.#inspecting = inspection.catch(() => {});
      const lost = await inspection;
      const unread = this.#unread;
      this.#unread = false;
      return { ...lost, unread };
    });
  }

  stats(): Promise<BlockStoreStats> {
    return this.#reading(async () => {
      const quarantined = await this.#components.files.quarantined();
      const availableBytes = await this.#space.available(Number.POSITIVE_INFINITY);
      const { fileBytes, sizes } = this.#writer;
      const headerBytes = sizes.size * SEGMENT_HEADER_BYTES;
      return {
        ...this.#counters(),
        fileBytes,
        deadBytes: this.#usage.complete ? Math.max(0, fileBytes - headerBytes - this.#usage.liveBytes) : 0,
        capacityBytes: this.#space.capacityBytes,
        availableBytes,
        quarantinedSegments: quarantined.length,
        quarantinedBytes: quarantined.reduce((sum, { bytes }) => sum + bytes, 0),
      };
    });
  }

  /** Until the index has been counted, what recovery says, which failed writes can make wrong by a little. */
  #counters(): { blocks: number; storedBytes: number } {
    const { complete, blocks, storedBytes } = this.#usage;
    return complete ? { blocks, storedBytes } : { blocks: this.#blocks, storedBytes: this.#storedBytes };
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    await this.#compaction.stop().catch(() => {});
    await this.#counting;
    while (this.#busy.size > 0) await Promise.all(this.#busy.values());
    await this.#checkpointing;
    if (this.#reads > 0) {
      await new Promise<void>((resolve) => {
        this.#onReadsDone = resolve;
      });
    }
    await this.#checkpoint();
    await this.#writer.close();
    await this.#readers.close();
    await this.#components.kv.close();
  }

  #readRecord(id: BlockId, entry: IndexEntry): Promise<Uint8Array> {
    return readBlock(this.#readers, this.#storeId, id, entry);
  }

  /** Undefined: the record is damaged. */
  async #readable(id: BlockId, entry: IndexEntry): Promise<Uint8Array | undefined> {
    try {
      return await this.#readRecord(id, entry);
    } catch (error) {
      if (error instanceof BlockStoreError && error.code === 'corrupt') return undefined;
      throw error;
    }
  }

  async #raise(id: BlockId, before: IndexEntry, uploadedAt: number): Promise<void> {
    if (uploadedAt <= before.uploadedAt) return;
    await this.#takeSpace(recordSize(RECORD_TOUCH, 0));
    await this.#append({ type: RECORD_TOUCH, id, length: before.length, uploadedAt, before });
  }

  /** Writes what is live of a record at the end, for compaction. A record that cannot be read stays where it is. */
  #move(segment: number, { id, offset, type }: ScannedRecord): Promise<void> {
    this.#moving++;
    return this.#exclusive(id, async () => {
      const before = await this.#index.get(id);
      if (before === undefined) return;
      const { length, uploadedAt } = before;
      if (type === RECORD_TOUCH) {
        if (before.touchSegment === segment)
          await this.#append({ type: RECORD_TOUCH, id, length, uploadedAt, before });
        return;
      }
      if (before.segment !== segment || before.offset !== offset) return;
      const data = await this.#readable(id, before);
      if (data !== undefined) await this.#append({ type: RECORD_MOVE, id, length, uploadedAt, before }, data);
    }).finally(() => {
      this.#moving--;
    });
  }

  /** Of a damaged segment, for the inspection. */
  #evacuate(id: BlockId, seen: IndexEntry, what: 'block' | 'touch'): Promise<boolean> {
    return this.#exclusive(id, async () => {
      const before = await this.#index.get(id);
      if (before?.segment !== seen.segment || before.offset !== seen.offset) return true;
      const { length, uploadedAt } = before;
      if (what === 'touch') {
        if (before.touchSegment === seen.touchSegment)
          await this.#append({ type: RECORD_TOUCH, id, length, uploadedAt, before });
        return true;
      }
      const data = await this.#readable(id, before);
      if (data === undefined || createHash('sha256').update(data).digest('hex') !== id) return false;
      await this.#append({ type: RECORD_MOVE, id, length, uploadedAt, before }, data);
      return true;
    });
  }

  /** Durable and in the index when resolved. */
  async #append(change: Change, data?: Uint8Array): Promise<void> {
    try {
      await this.#committer.append(change, data);
    } catch (error) {
      this.#space.doubt();
      throw storeError(error);
    }
    if (this.#writer.fileBytes - this.#checkpointedFileBytes >= CHECKPOINT_INTERVAL_BYTES) {
      this.#checkpointing ??= this.#checkpoint().finally(() => {
        this.#checkpointing = undefined;
      });
      await this.#checkpointing;
    }
  }

  /** Resolves with the segment from which on the next start reads records; 0 when that is not certain. */
  async #checkpoint(): Promise<number> {
    const { position, ...counters } = this.#writer.prefix;
    if (position === undefined) return 0;
    const fileBytes = this.#writer.fileBytes;
    try {
      await this.#index.setCheckpoint({ storeId: this.#storeId, position, counters });
      this.#checkpointedFileBytes = fileBytes;
      return position.segment;
    } catch (error) {
      // The next start scans further back: slower, nothing else.
      this.#components.logger.warn({ error }, 'block index checkpoint failed');
      return 0;
    }
  }

  async #takeSpace(bytes: number): Promise<void> {
    if ((await this.#space.available(bytes)) < bytes) {
      this.#compaction.kick();
      throw new BlockStoreError('no-space', 'block store is full');
    }
  }

  async #exclusive<T>(id: BlockId, change: () => Promise<T>): Promise<T> {
    for (let busy = this.#busy.get(id); busy !== undefined; busy = this.#busy.get(id)) await busy;
    this.#assertOpen();
    const result = change();
    const done = result.then(
      () => {},
      () => {},
    );
    this.#busy.set(id, done);
    try {
      return await result;
    } catch (error) {
      throw storeError(error);
    } finally {
      this.#busy.delete(id);
    }
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    this.#assertOpen();
    this.#reads++;
    try {
      return await read();
    } catch (error) {
      throw storeError(error);
    } finally {
      this.#reads--;
      if (this.#reads === 0) this.#onReadsDone?.();
    }
  }

  #assertOpen(): void {
    if (this.#closing.signal.aborted) throw new BlockStoreError('closed', 'block store is closed');
  }
}
