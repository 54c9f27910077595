import { assert } from '../../base/assert.ts';
import { toHex } from '../../base/bytes.ts';
import { versionRefusal } from '../../base/format-version.ts';
import type { BlockId } from '../../base/ids.ts';
import { BlockStoreError } from '../../ports/block-store.ts';
import type { Logger } from '../../ports/logger.ts';
import type { BlockIndex, Checkpoint, IndexEntry } from './block-index.ts';
import type { SegmentFile, SegmentFiles } from './files.ts';
import {
  decodeSegmentHeader,
  hasContent,
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
import { contentIsGood, type ScannedRecord, scanSegment } from './scan.ts';

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
  /** Most content has not been read: the index is new, and made from headers. */
  readonly unread: boolean;
  /** Segments with something in them and without a readable header. */
  readonly damaged: readonly number[];
}

export interface RecoveryComponents {
  readonly files: SegmentFiles;
  readonly index: BlockIndex;
  readonly logger: Logger;
}

export interface RecoveryOptions {
  readonly clusterId: string;
  readonly nodeId: string;
  readonly rebuildVerifyBytes?: number;
}

/** Index changes applied in one batch: bounds the memory of a rebuild. */
const REPLAY_BATCH_RECORDS = 512;
/** More than all puts that can be under way when the power goes. */
const REBUILD_VERIFY_BYTES_DEFAULT = 512 * 1024 * 1024;

/**
 * Brings the index up to date with the segments: from its checkpoint forward, or from the first record when it is
 * gone or belongs to other files. Cuts the torn tail of the last segment.
 */
export async function recoverStore(
  components: RecoveryComponents,
  owner: RecoveryOptions,
): Promise<RecoveredStore> {
  const { files, index, logger } = components;
  const headers = await readHeaders(components, owner);
  const numbers = [...headers.keys()];
  const known = [...headers.values()].find((h) => h !== undefined)?.storeId;
  const saved = await index.checkpoint();
  // Numbers are never used again: what the index says of a segment that is gone must not fit a new one.
  const quarantined = (await files.quarantined()).map(({ segment }) => segment);
  const lastSegment = Math.max(0, ...numbers, ...quarantined, saved?.position.segment ?? 0);
  if (numbers.length === 0) {
    if (saved !== undefined && saved.counters.blocks > 0)
      logger.error(saved.counters, 'the index is there, and no segment: all blocks of this node are lost');
    const counters = saved?.counters ?? { blocks: 0, storedBytes: 0 };
    return {
      storeId: saved?.storeId,
      tail: undefined,
      ...counters,
      sizes: new Map(),
      lastSegment,
      unread: false,
      damaged: [],
    };
  }
  const storeId = known ?? saved?.storeId;
  if (storeId === undefined) {
    // A header is durable before a record follows it: the first start of all got no further than this.
    const sizes = await sizesOf(files, numbers);
    if ([...sizes.values()].some((size) => size > SEGMENT_HEADER_BYTES))
      throw new BlockStoreError(
        'corrupt',
        'no segment has a readable header, and the index does not tell whose they are: check the disk, and move the segments ' +
          'and block/index away; the other nodes send their copies again',
      );
    await index.clear();
    return {
      storeId,
      tail: undefined,
      blocks: 0,
      storedBytes: 0,
      sizes,
      lastSegment,
      unread: false,
      damaged: [],
    };
  }
  const checkpoint = usableCheckpoint(components, saved, storeId);
  if (checkpoint === undefined) {
    logger.warn({ segments: numbers.length }, 'block index is missing or stale: rebuilding it');
    await index.clear();
  }
  const replay = new Replay(index, checkpoint);
  const { sizes, tail, unread } = await replaySegments(components, replay, {
    storeId,
    headers,
    checkpoint,
    rebuildVerifyBytes: owner.rebuildVerifyBytes ?? REBUILD_VERIFY_BYTES_DEFAULT,
  });
  const { blocks, storedBytes } = replay;
  if (tail !== undefined)
    await index.setCheckpoint({ storeId, position: tail, counters: { blocks, storedBytes } });
  const damaged = numbers.filter(
    (segment) => headers.get(segment) === undefined && sizes.get(segment)! > SEGMENT_HEADER_BYTES,
  );
  return { storeId, tail, blocks, storedBytes, sizes, lastSegment, unread, damaged };
}

/** Brings every record behind the checkpoint into the index. */
async function replaySegments(
  components: RecoveryComponents,
  replay: Replay,
  plan: {
    readonly storeId: Uint8Array;
    readonly headers: ReadonlyMap<number, SegmentHeader | undefined>;
    readonly checkpoint: Checkpoint | undefined;
    readonly rebuildVerifyBytes: number;
  },
): Promise<Pick<RecoveredStore, 'sizes' | 'tail' | 'unread'>> {
  const { files, logger } = components;
  const { storeId, headers, checkpoint } = plan;
  const numbers = [...headers.keys()];
  const sizes = await sizesOf(files, numbers);
  const start = checkpoint?.position ?? { segment: 0, offset: 0 };
  // What a crash kept from the disk can be anywhere behind whole records in what was being written last. What lies further back is
  // not read to build the index: that would take hours, and the scrubber does it anyway.
  const verifyFrom = checkpoint === undefined ? firstOfLast(sizes, plan.rebuildVerifyBytes) : start.segment;
  const last = numbers.at(-1)!;
  let tail: RecordPosition | undefined;
  for (const segment of numbers.filter((number) => number >= start.segment)) {
    const file = await files.open(segment, segment === last ? 'append' : 'read');
    try {
      const from = segment === start.segment ? start.offset : SEGMENT_HEADER_BYTES;
      const verifyContent = segment >= verifyFrom;
      replay.begin(segment, verifyContent ? undefined : (record) => contentIsGood(file, record));
      const result = await scanSegment(file, { storeId, segment, from, verifyContent }, (record) =>
        replay.add(record),
      );
      await replay.flush();
      if (result.damagedBytes > 0) {
        logger.warn({ segment, bytes: result.damagedBytes }, 'segment has a damaged region');
      }
      // Without a header, or shorter than it was, nothing is appended to it: the store goes on with a new segment.
      const whole = headers.get(segment) !== undefined && sizes.get(segment)! >= result.goodEnd;
      if (segment === last && whole) {
        tail = await cutTail(components, file, segment, result.goodEnd);
        sizes.set(segment, result.goodEnd);
      }
    } finally {
      await file.close();
    }
  }
  return { sizes, tail, unread: numbers[0]! < verifyFrom && checkpoint === undefined };
}

/** The first of the segments at the end that have `bytes` together, 0 for all; behind the last when no bytes are asked for. */
function firstOfLast(sizes: ReadonlyMap<number, number>, bytes: number): number {
  let left = bytes;
  let first = Number.POSITIVE_INFINITY;
  for (const [segment, size] of [...sizes].reverse()) {
    if (left <= 0) return first;
    left -= size;
    first = segment;
  }
  return 0;
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

/**
 * Also when its own segment is gone or cut off: everything before it is in the index, and what the index has and the files have not
 * is then known to be lost.
 */
function usableCheckpoint(
  { logger }: RecoveryComponents,
  checkpoint: Checkpoint | undefined,
  storeId: Uint8Array,
): Checkpoint | undefined {
  if (checkpoint === undefined || sameStore(checkpoint.storeId, storeId)) return checkpoint;
  logger.warn(
    { index: toHex(checkpoint.storeId), segments: toHex(storeId) },
    'block index is of another store',
  );
  return undefined;
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
  #batch: ScannedRecord[] = [];
  #segment = 0;
  #verify: ((record: ScannedRecord) => Promise<boolean>) | undefined;

  constructor(index: BlockIndex, checkpoint: Checkpoint | undefined) {
    this.#index = index;
    this.#whole = checkpoint === undefined;
    this.blocks = checkpoint?.counters.blocks ?? 0;
    this.storedBytes = checkpoint?.counters.storedBytes ?? 0;
  }

  /** What is added from now on is of this segment. `verify`: its content has not been read. */
  begin(segment: number, verify: ((record: ScannedRecord) => Promise<boolean>) | undefined): void {
    assert(this.#batch.length === 0, 'flushed before the next segment');
    this.#segment = segment;
    this.#verify = verify;
  }

  async add(record: ScannedRecord): Promise<void> {
    this.#batch.push(record);
    if (this.#batch.length >= REPLAY_BATCH_RECORDS) await this.flush();
  }

  async flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    if (batch.length === 0) return;
    const ids = [...new Set(batch.map(({ id }) => id))];
    const entries = await this.#index.getMany(ids);
    const indexed = new Map<BlockId, IndexEntry | undefined>(ids.map((id, i) => [id, entries[i]]));
    const changed = new Map<BlockId, IndexEntry | undefined>();
    for (const record of batch) {
      const seen = changed.has(record.id);
      const known = seen ? changed.get(record.id) : indexed.get(record.id);
      // A touch of a block that is deleted further on, by an index that is ahead, or whose record is lost.
      if (record.type === RECORD_TOUCH && known === undefined) continue;
      // A torn copy must not take the place of an earlier good one.
      const replaces = hasContent(record.type) && known !== undefined;
      if (replaces && this.#verify !== undefined && !(await this.#verify(record))) continue;
      changed.set(record.id, this.#replayed(record, known, seen));
    }
    await this.#index.apply([...changed].map(([id, entry]) => ({ id, entry })));
  }

  /** The block's entry after this record. `seen`: `known` is of this replay, not of an index that may be ahead. */
  #replayed(
    { type, offset, length, uploadedAt }: ScannedRecord,
    known: IndexEntry | undefined,
    seen: boolean,
  ): IndexEntry | undefined {
    const segment = this.#segment;
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
