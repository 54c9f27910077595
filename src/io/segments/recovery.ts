import { toHex } from '../../base/bytes.ts';
import { versionRefusal } from '../../base/format-version.ts';
import type { BlockId } from '../../base/ids.ts';
import { BlockStoreError } from '../../ports/block-store.ts';
import type { Logger } from '../../ports/logger.ts';
import type { BlockIndex, Checkpoint, IndexEntry } from './block-index.ts';
import type { SegmentFile, SegmentFiles } from './files.ts';
import {
  decodeSegmentHeader,
  RECORD_DELETE,
  RECORD_MOVE,
  RECORD_PUT,
  RECORD_TOUCH,
  type RecordPosition,
  SEGMENT_HEADER_BYTES,
  SEGMENT_VERSIONS,
  type SegmentHeader,
  sameStore,
  storedName,
  unknownSegmentVersion,
} from './format.ts';
import { type ScannedRecord, scanSegment } from './scan.ts';

/** What the disk holds after recovery. */
export interface RecoveredStore {
  /** Undefined for a new store. */
  readonly storeId: Uint8Array | undefined;
  /** Where the next record goes: the end of the last segment. */
  readonly tail: RecordPosition | undefined;
  readonly blocks: number;
  readonly storedBytes: number;
  /** Bytes of each segment file. */
  readonly sizes: ReadonlyMap<number, number>;
  readonly lastSegment: number;
}

export interface RecoveryComponents {
  readonly files: SegmentFiles;
  readonly index: BlockIndex;
  readonly logger: Logger;
}

/** Index changes applied in one batch: bounds the memory of a rebuild. */
const REPLAY_BATCH_RECORDS = 512;

/**
 * Brings the index up to date with the segments: from its checkpoint forward, or from the first record when it is
 * gone or belongs to other files. Cuts the torn tail of the last segment.
 */
export async function recoverStore(
  components: RecoveryComponents,
  owner: { readonly clusterId: string; readonly nodeId: string },
): Promise<RecoveredStore> {
  const { files, index, logger } = components;
  const headers = await readHeaders(components, owner);
  const numbers = [...headers.keys()];
  const known = [...headers.values()].find((h) => h !== undefined)?.storeId;
  const saved = await index.checkpoint();
  if (numbers.length === 0) {
    if (saved !== undefined) await index.clear();
    return {
      storeId: undefined,
      tail: undefined,
      blocks: 0,
      storedBytes: 0,
      sizes: new Map(),
      lastSegment: 0,
    };
  }
  const storeId = known ?? saved?.storeId;
  if (storeId === undefined) {
    // A header is durable before a record follows it: the first start of all got no further than this.
    const sizes = await sizesOf(files, numbers);
    if ([...sizes.values()].some((size) => size > SEGMENT_HEADER_BYTES))
      throw new BlockStoreError('corrupt', 'no segment has a readable header');
    await index.clear();
    return { storeId, tail: undefined, blocks: 0, storedBytes: 0, sizes, lastSegment: numbers.at(-1)! };
  }
  const checkpoint = await usableCheckpoint(components, saved, storeId, numbers);
  if (checkpoint === undefined) {
    logger.warn({ segments: numbers.length }, 'block index is missing or stale: rebuilding it');
    await index.clear();
  }
  const replay = new Replay(index, checkpoint);
  const last = numbers.at(-1)!;
  const sizes = new Map<number, number>();
  let tail: RecordPosition | undefined;
  for (const segment of numbers) {
    const start = checkpoint?.position ?? { segment: 0, offset: 0 };
    const file = await files.open(segment, segment === last ? 'append' : 'read');
    try {
      if (segment >= start.segment) {
        const from = segment === start.segment ? start.offset : SEGMENT_HEADER_BYTES;
        // Content that a crash kept from the disk can be anywhere behind whole records, also in old segments: a torn copy
        // must not take the place of an earlier good one.
        const result = await scanSegment(file, { storeId, segment, from, verifyContent: true }, (record) =>
          replay.add(segment, record),
        );
        if (result.damagedBytes > 0) {
          logger.warn({ segment, bytes: result.damagedBytes }, 'segment has a damaged region');
        }
        // Without a header, nothing is appended to it: the store goes on with a new segment.
        if (segment === last && headers.get(segment) !== undefined) {
          tail = await cutTail(components, file, segment, result.goodEnd);
        }
      }
      sizes.set(segment, await file.size());
    } finally {
      await file.close();
    }
  }
  await replay.flush();
  const { blocks, storedBytes } = replay;
  if (tail !== undefined)
    await index.setCheckpoint({ storeId, position: tail, counters: { blocks, storedBytes } });
  return { storeId, tail, blocks, storedBytes, sizes, lastSegment: last };
}

async function sizesOf(files: SegmentFiles, numbers: readonly number[]): Promise<Map<number, number>> {
  const sizes = new Map<number, number>();
  for (const segment of numbers) {
    const file = await files.open(segment, 'read');
    try {
      sizes.set(segment, await file.size());
    } finally {
      await file.close();
    }
  }
  return sizes;
}

async function readHeaders(
  { files, logger }: RecoveryComponents,
  owner: { readonly clusterId: string; readonly nodeId: string },
): Promise<Map<number, SegmentHeader | undefined>> {
  const numbers = await files.list();
  const headers = new Map<number, SegmentHeader | undefined>();
  for (const segment of numbers) {
    const file = await files.open(segment, 'read');
    try {
      const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
      const length = await file.read(bytes, 0);
      const header = decodeSegmentHeader(bytes.subarray(0, length));
      refuseUnknownVersion(segment, bytes.subarray(0, length));
      if (header === undefined) logger.error({ segment }, 'segment header is unreadable');
      else if (header.clusterId !== storedName(owner.clusterId)) {
        const message = `segments belong to cluster ${header.clusterId}, not ${owner.clusterId}`;
        throw new BlockStoreError('io', message);
      } else if (header.nodeId !== storedName(owner.nodeId)) {
        logger.warn({ segment, writtenBy: header.nodeId }, 'segment was written under another node name');
      }
      headers.set(segment, header);
    } finally {
      await file.close();
    }
  }
  return headers;
}

/** Its blocks are there, and this program cannot read them: not the same as a header that is damaged. */
function refuseUnknownVersion(segment: number, bytes: Uint8Array): void {
  const version = unknownSegmentVersion(bytes);
  const wrong = version === undefined ? undefined : versionRefusal(version, SEGMENT_VERSIONS);
  if (wrong === undefined) return;
  throw new BlockStoreError('io', `segment ${segment} ${wrong.problem}: ${wrong.advice}`);
}

async function usableCheckpoint(
  { files, logger }: RecoveryComponents,
  checkpoint: Checkpoint | undefined,
  storeId: Uint8Array,
  numbers: readonly number[],
): Promise<Checkpoint | undefined> {
  if (checkpoint === undefined) return undefined;
  if (!sameStore(checkpoint.storeId, storeId)) {
    logger.warn(
      { index: toHex(checkpoint.storeId), segments: toHex(storeId) },
      'block index is of another store',
    );
    return undefined;
  }
  const { segment, offset } = checkpoint.position;
  if (!numbers.includes(segment)) return undefined;
  const file = await files.open(segment, 'read');
  try {
    return (await file.size()) >= offset ? checkpoint : undefined;
  } finally {
    await file.close();
  }
}

/** Nothing behind the last good record was ever acknowledged. */
async function cutTail(
  { logger }: RecoveryComponents,
  file: SegmentFile,
  segment: number,
  goodEnd: number,
): Promise<RecordPosition> {
  const size = await file.size();
  if (size > goodEnd) {
    logger.warn(
      { segment, offset: goodEnd, bytes: size - goodEnd },
      'cutting the torn tail of the last segment',
    );
    await file.truncate(goodEnd);
    await file.sync();
  }
  return { segment, offset: goodEnd };
}

/** Applies scanned records to the index in batches and keeps the counters exact. */
class Replay {
  blocks: number;
  storedBytes: number;
  /** From the first record on and into an empty index. Otherwise the index may be ahead of the replay. */
  readonly #whole: boolean;
  readonly #index: BlockIndex;
  #batch: { readonly segment: number; readonly record: ScannedRecord }[] = [];

  constructor(index: BlockIndex, checkpoint: Checkpoint | undefined) {
    this.#index = index;
    this.#whole = checkpoint === undefined;
    this.blocks = checkpoint?.counters.blocks ?? 0;
    this.storedBytes = checkpoint?.counters.storedBytes ?? 0;
  }

  async add(segment: number, record: ScannedRecord): Promise<void> {
    this.#batch.push({ segment, record });
    if (this.#batch.length >= REPLAY_BATCH_RECORDS) await this.flush();
  }

  async flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length === 0) return;
    const ids = [...new Set(batch.map((item) => item.record.id))];
    const entries = await this.#index.getMany(ids);
    const indexed = new Map<BlockId, IndexEntry | undefined>(ids.map((id, i) => [id, entries[i]]));
    const changed = new Map<BlockId, IndexEntry | undefined>();
    for (const { segment, record } of batch) {
      const seen = changed.has(record.id);
      const known = seen ? changed.get(record.id) : indexed.get(record.id);
      // A touch of a block that is deleted further on, by an index that is ahead, or whose record is lost.
      if (record.type === RECORD_TOUCH && known === undefined) continue;
      changed.set(record.id, this.#replayed(segment, record, known, seen));
    }
    await this.#index.apply([...changed].map(([id, entry]) => ({ id, entry })));
  }

  /** The block's entry after this record. `seen`: `known` is of this replay, not of an index that may be ahead. */
  #replayed(
    segment: number,
    { type, offset, length, uploadedAt }: ScannedRecord,
    known: IndexEntry | undefined,
    seen: boolean,
  ): IndexEntry | undefined {
    const entry = { segment, offset, length, uploadedAt, touchSegment: 0 };
    switch (type) {
      case RECORD_PUT:
        // An entry at or behind this record is this replay's own future.
        if (known === undefined || !isBefore(known, entry)) this.#count(1, length);
        return entry;
      case RECORD_MOVE:
        // What it replaces was counted when it was put. That record may be gone when all is read from the start.
        if (this.#whole && known === undefined) this.#count(1, length);
        return entry;
      case RECORD_TOUCH:
        if (known === undefined || uploadedAt <= known.uploadedAt) return known;
        return { ...known, uploadedAt, touchSegment: segment };
      case RECORD_DELETE:
        // It was written for a block that was there. A missing entry means that the index is ahead, or, when all is read
        // from the start, that the segment of the block's record was deleted earlier.
        if (known !== undefined || !(this.#whole || seen)) this.#count(-1, -length);
        return undefined;
    }
  }

  #count(blocks: number, bytes: number): void {
    this.blocks = Math.max(0, this.blocks + blocks);
    this.storedBytes = Math.max(0, this.storedBytes + bytes);
  }
}

function isBefore(a: RecordPosition, b: RecordPosition): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}
