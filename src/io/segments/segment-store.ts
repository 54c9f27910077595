import { assert } from '../../base/assert.ts';
import type { BlockId } from '../../base/ids.ts';
import { BLOCK_SIZE_BYTES_MAX, SEGMENT_SIZE_BYTES_MAX } from '../../base/limits.ts';
import type { Random } from '../../base/random.ts';
import { type BlockStore, BlockStoreError, type BlockStoreStats } from '../../ports/block-store.ts';
import type { Clock } from '../../ports/clock.ts';
import type { KvStore } from '../../ports/kv-store.ts';
import type { Logger } from '../../ports/logger.ts';
import { BlockIndex, type IndexEntry } from './block-index.ts';
import type { SegmentFiles } from './files.ts';
import {
  decodeRecordHeader,
  RECORD_DELETE,
  RECORD_HEADER_BYTES,
  RECORD_PUT,
  type RecordType,
  recordSize,
  STORE_ID_BYTES,
} from './format.ts';
import { recoverStore } from './recovery.ts';
import { SegmentReaders } from './segment-readers.ts';
import { SegmentWriter, type WrittenRecord } from './segment-writer.ts';

export interface SegmentStoreComponents {
  readonly files: SegmentFiles;
  /** For the index alone; nothing else may use it. The store closes it. */
  readonly kv: KvStore;
  readonly clock: Clock;
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
  readonly segmentSizeBytesMax?: number;
}

/** Records to read and hash at the next start are fewer than this many bytes. */
const CHECKPOINT_INTERVAL_BYTES = 64 * 1024 * 1024;
const RESERVE_BYTES_DEFAULT = 64 * 1024 * 1024;
/** The free space of the disk is asked for again after this time, or when this little of it is left. */
const SPACE_TTL_MS = 1000;
const SPACE_LOW_BYTES = 256 * 1024 * 1024;

interface Waiting {
  readonly record: WrittenRecord;
  readonly type: RecordType;
  readonly id: BlockId;
  readonly length: number;
  resolve(): void;
  reject(error: BlockStoreError): void;
}

/** Opens the store and recovers what a crash left (see recovery.ts). Throws BlockStoreError. */
export async function openSegmentStore(
  components: SegmentStoreComponents,
  options: SegmentStoreOptions,
): Promise<BlockStore> {
  const { files, kv, logger } = components;
  const index = new BlockIndex({ kv });
  const recovered = await recoverStore({ files, index, logger }, options).catch((error: unknown) => {
    throw storeError(error);
  });
  const storeId = recovered.storeId ?? components.random.bytes(STORE_ID_BYTES);
  const writer = new SegmentWriter(
    { files, logger },
    {
      storeId,
      clusterId: options.clusterId,
      nodeId: options.nodeId,
      segmentSizeBytesMax: options.segmentSizeBytesMax ?? SEGMENT_SIZE_BYTES_MAX,
      lastSegment: recovered.lastSegment,
    },
    recovered,
  );
  if (recovered.tail !== undefined) await writer.resume(recovered.tail);
  logger.info({ blocks: recovered.blocks, storedBytes: recovered.storedBytes }, 'block store is open');
  return new SegmentStore({ ...components, index, writer }, options, storeId, recovered);
}

/**
 * Blocks in append-only segment files with an index beside them. A put is one writev at an offset of its own, one
 * fdatasync shared with all puts that wait at that time, and one index write shared likewise.
 */
class SegmentStore implements BlockStore {
  readonly #components: SegmentStoreComponents;
  readonly #options: SegmentStoreOptions;
  readonly #index: BlockIndex;
  readonly #writer: SegmentWriter;
  readonly #readers: SegmentReaders;
  readonly #storeId: Uint8Array;
  /** Changes of one block take turns. The promises never reject. */
  readonly #busy = new Map<BlockId, Promise<void>>();
  #reads = 0;
  #onReadsDone: (() => void) | undefined;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | undefined;
  #blocks: number;
  #storedBytes: number;
  #checkpointedFileBytes: number;
  #space = { totalBytes: 0, availableBytes: 0, fileBytes: 0, atMs: Number.NEGATIVE_INFINITY };
  #closed = false;

  constructor(
    components: SegmentStoreComponents & { readonly index: BlockIndex; readonly writer: SegmentWriter },
    options: SegmentStoreOptions,
    storeId: Uint8Array,
    counters: { readonly blocks: number; readonly storedBytes: number },
  ) {
    this.#components = components;
    this.#options = options;
    this.#index = components.index;
    this.#writer = components.writer;
    this.#readers = new SegmentReaders({ files: components.files });
    this.#storeId = storeId;
    this.#blocks = counters.blocks;
    this.#storedBytes = counters.storedBytes;
    this.#checkpointedFileBytes = components.writer.fileBytes;
  }

  put(id: BlockId, data: Uint8Array): Promise<{ existed: boolean }> {
    assert(data.length <= BLOCK_SIZE_BYTES_MAX, 'block is too large');
    return this.#exclusive(id, async () => {
      if ((await this.#index.get(id)) !== undefined) return { existed: true };
      await this.#takeSpace(recordSize(RECORD_PUT, data.length));
      await this.#append(RECORD_PUT, id, data.length, data);
      return { existed: false };
    });
  }

  delete(id: BlockId): Promise<void> {
    return this.#exclusive(id, async () => {
      const entry = await this.#index.get(id);
      if (entry !== undefined) await this.#append(RECORD_DELETE, id, entry.length, undefined);
    });
  }

  get(id: BlockId): Promise<Uint8Array | undefined> {
    return this.#reading(async () => {
      for (let attempt = 0; ; attempt++) {
        const entry = await this.#index.get(id);
        if (entry === undefined) return undefined;
        try {
          return await this.#readRecord(id, entry);
        } catch (error) {
          // The block may have been replaced between the look into the index and the read.
          if (attempt > 0 || !(error instanceof BlockStoreError)) throw error;
        }
      }
    });
  }

  has(ids: readonly BlockId[]): Promise<boolean[]> {
    return this.#reading(async () => (await this.#index.getMany(ids)).map((entry) => entry !== undefined));
  }

  list(
    after: BlockId | undefined,
    until: BlockId | undefined,
    limit: number,
  ): Promise<{ id: BlockId; length: number }[]> {
    return this.#reading(() => this.#index.list(after, until, limit));
  }

  stats(): Promise<BlockStoreStats> {
    return this.#reading(async () => {
      const availableBytes = await this.#availableBytes(Number.POSITIVE_INFINITY);
      const disk = this.#space.totalBytes;
      const capacityBytes = Math.min(this.#options.capacityBytes ?? disk, disk);
      return { blocks: this.#blocks, storedBytes: this.#storedBytes, capacityBytes, availableBytes };
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    while (this.#busy.size > 0) await Promise.all(this.#busy.values());
    await this.#committing;
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

  async #readRecord(id: BlockId, entry: IndexEntry): Promise<Uint8Array> {
    const bytes = Buffer.allocUnsafeSlow(RECORD_HEADER_BYTES + entry.length);
    let length: number;
    try {
      length = await this.#readers.read(entry.segment, bytes, entry.offset);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EMFILE' || code === 'ENFILE' || code === 'ENOMEM') throw storeError(error);
      // A sector that cannot be read, or a file that is gone: this copy is lost, another replica has one.
      throw new BlockStoreError('corrupt', `block ${id} cannot be read`, { cause: error });
    }
    const header = decodeRecordHeader(this.#storeId, entry, bytes);
    if (
      length !== bytes.length ||
      header?.type !== RECORD_PUT ||
      header.id !== id ||
      header.length !== entry.length
    ) {
      throw new BlockStoreError('corrupt', `record of block ${id} is damaged`);
    }
    return bytes.subarray(RECORD_HEADER_BYTES);
  }

  async #append(type: RecordType, id: BlockId, length: number, data: Uint8Array | undefined): Promise<void> {
    const record = await this.#writer.append(type, id, length, data).catch((error: unknown) => {
      this.#space.atMs = Number.NEGATIVE_INFINITY;
      throw storeError(error);
    });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push({ record, type, id, length, resolve, reject });
        this.#committing ??= this.#commitAll().finally(() => {
          this.#committing = undefined;
        });
      });
    } finally {
      this.#writer.release(record, undefined);
    }
  }

  async #commitAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      await this.#commit(batch);
    }
  }

  /** One fdatasync per segment and one index write for everything that has been written by now. */
  async #commit(batch: readonly Waiting[]): Promise<void> {
    const durable: Waiting[] = [];
    for (const segment of new Set(batch.map((waiting) => waiting.record.segment))) {
      const inSegment = batch.filter((waiting) => waiting.record.segment === segment);
      try {
        await this.#writer.sync(segment);
        durable.push(...inSegment);
      } catch (error) {
        this.#components.logger.error({ segment, error }, 'segment sync failed');
        for (const waiting of inSegment) waiting.reject(storeError(error));
      }
    }
    if (durable.length === 0) return;
    try {
      await this.#index.apply(
        durable.map(({ type, id, length, record }) => {
          const { segment, offset } = record;
          return { id, entry: type === RECORD_PUT ? { segment, offset, length } : undefined };
        }),
      );
    } catch (error) {
      this.#components.logger.error({ error }, 'block index write failed');
      for (const waiting of durable) waiting.reject(storeError(error));
      return;
    }
    for (const { type, length, record, resolve } of durable) {
      const effect = type === RECORD_PUT ? { blocks: 1, bytes: length } : { blocks: -1, bytes: -length };
      this.#blocks += effect.blocks;
      this.#storedBytes += effect.bytes;
      this.#writer.release(record, effect);
      resolve();
    }
    if (this.#writer.fileBytes - this.#checkpointedFileBytes >= CHECKPOINT_INTERVAL_BYTES)
      await this.#checkpoint();
  }

  async #checkpoint(): Promise<void> {
    const { position, ...counters } = this.#writer.prefix;
    if (position === undefined) return;
    const fileBytes = this.#writer.fileBytes;
    try {
      await this.#index.setCheckpoint({ storeId: this.#storeId, position, counters });
      this.#checkpointedFileBytes = fileBytes;
    } catch (error) {
      // The next start scans further back: slower, nothing else.
      this.#components.logger.warn({ error }, 'block index checkpoint failed');
    }
  }

  async #takeSpace(bytes: number): Promise<void> {
    if ((await this.#availableBytes(bytes)) < bytes)
      throw new BlockStoreError('no-space', 'block store is full');
  }

  /** What may still be written. Asks the disk again when its last answer is old or close to what is needed. */
  async #availableBytes(needed: number): Promise<number> {
    const now = this.#components.clock.nowMs();
    if (now - this.#space.atMs > SPACE_TTL_MS || this.#estimate() < needed + SPACE_LOW_BYTES) {
      const fileBytes = this.#writer.fileBytes;
      try {
        this.#space = { ...(await this.#components.files.space()), fileBytes, atMs: now };
      } catch (error) {
        throw storeError(error);
      }
    }
    return Math.max(0, this.#estimate());
  }

  #estimate(): number {
    const written = this.#writer.fileBytes;
    const reserve = this.#options.reserveBytes ?? RESERVE_BYTES_DEFAULT;
    const onDisk = this.#space.availableBytes - (written - this.#space.fileBytes) - reserve;
    const capacity = this.#options.capacityBytes;
    return capacity === undefined ? onDisk : Math.min(onDisk, capacity - written);
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
    if (this.#closed) throw new BlockStoreError('closed', 'block store is closed');
  }
}

function storeError(error: unknown): BlockStoreError {
  if (error instanceof BlockStoreError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new BlockStoreError(full ? 'no-space' : 'io', message ?? String(error), { cause: error });
}
