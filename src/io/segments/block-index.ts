import { concatBytes, fromHex, toHex } from '../../base/bytes.ts';
import type { BlockId } from '../../base/ids.ts';
import { type BlockEntry, BlockStoreError } from '../../ports/block-store.ts';
import type { KvStore, KvWrite } from '../../ports/kv-store.ts';
import { sealRow, unsealRow } from '../rocksdb/row-seal.ts';
import { type RecordPosition, STORE_ID_BYTES } from './format.ts';

export interface IndexEntry extends RecordPosition {
  readonly length: number;
  /** Commit index of the last put or touch. */
  readonly uploadedAt: number;
  /** Segment of the touch that says so; 0: the record itself does. */
  readonly touchSegment: number;
}

export interface BlockCounters {
  readonly blocks: number;
  readonly storedBytes: number;
}

/** Every record before `position` is in the index on disk; `counters` are of exactly those records. */
export interface Checkpoint {
  readonly storeId: Uint8Array;
  readonly position: RecordPosition;
  readonly counters: BlockCounters;
}

const ENTRY_PREFIX = Uint8Array.of(0x62); // "b"
const ENTRY_END = Uint8Array.of(0x63);
const CHECKPOINT_KEY = new TextEncoder().encode('checkpoint');
const ENTRY_BYTES = 28;
const CHECKPOINT_BYTES = STORE_ID_BYTES + 32;

/** Where each block lies. Derived data: it can always be built again from the segments. */
export class BlockIndex {
  readonly #kv: KvStore;
  readonly #onDamaged: (reason: string) => Promise<void>;

  constructor(components: {
    readonly kv: KvStore;
    /** A row is not as it was written. Awaited before the call that met it fails. */
    readonly onDamaged?: ((reason: string) => Promise<void>) | undefined;
  }) {
    this.#kv = components.kv;
    this.#onDamaged = components.onDamaged ?? (() => Promise.resolve());
  }

  /** Reading throws BlockStoreError `io` when a row is damaged. */
  async get(id: BlockId): Promise<IndexEntry | undefined> {
    const key = entryKey(id);
    const value = await this.#kv.get(key);
    return value === undefined ? undefined : await this.#entry(key, value);
  }

  async getMany(ids: readonly BlockId[]): Promise<(IndexEntry | undefined)[]> {
    const keys = ids.map(entryKey);
    const values = await this.#kv.getMany(keys);
    const entries: (IndexEntry | undefined)[] = [];
    for (const [i, value] of values.entries())
      entries.push(value === undefined ? undefined : await this.#entry(keys[i]!, value));
    return entries;
  }

  async #entry(key: Uint8Array, value: Uint8Array): Promise<IndexEntry> {
    const content = unsealRow(key, value);
    if (content?.length === ENTRY_BYTES) return decodeEntry(content);
    const reason = `the entry of block ${toHex(key.subarray(1))} in the index is damaged`;
    await this.#onDamaged(reason);
    throw new BlockStoreError('io', reason);
  }

  /** Not synced: what a machine crash takes is found again by scanning from the checkpoint. */
  async apply(
    changes: readonly { readonly id: BlockId; readonly entry: IndexEntry | undefined }[],
  ): Promise<void> {
    const batch = changes.map(({ id, entry }): KvWrite => {
      if (entry === undefined) return { type: 'del', key: entryKey(id) };
      const key = entryKey(id);
      return { type: 'put', key, value: sealRow(key, encodeEntry(entry)) };
    });
    await this.#kv.write(batch, { sync: false });
  }

  async list(after: BlockId | undefined, until: BlockId | undefined, limit: number): Promise<BlockEntry[]> {
    const out: BlockEntry[] = [];
    if (limit <= 0) return out;
    const zero = Uint8Array.of(0);
    const gte = after === undefined ? ENTRY_PREFIX : concatBytes([entryKey(after), zero]);
    const lt = until === undefined ? ENTRY_END : concatBytes([entryKey(until), zero]);
    for await (const [key, value] of this.#kv.scan({ gte, lt, limit })) {
      const { length, uploadedAt } = await this.#entry(key, value);
      out.push({ id: toHex(key.subarray(1)) as BlockId, length, uploadedAt });
    }
    return out;
  }

  /** Every entry as of the call of the first `next`. */
  async *entries(): AsyncGenerator<IndexEntry & { readonly id: BlockId }, void, void> {
    for await (const [key, value] of this.#kv.scan({ gte: ENTRY_PREFIX, lt: ENTRY_END }))
      yield { ...(await this.#entry(key, value)), id: toHex(key.subarray(1)) as BlockId };
  }

  async checkpoint(): Promise<Checkpoint | undefined> {
    const found = await this.#kv.get(CHECKPOINT_KEY);
    const value = found === undefined ? undefined : unsealRow(CHECKPOINT_KEY, found);
    if (value?.length !== CHECKPOINT_BYTES) return undefined;
    const view = new DataView(value.buffer, value.byteOffset + STORE_ID_BYTES);
    return {
      storeId: value.slice(0, STORE_ID_BYTES),
      position: { segment: view.getUint32(0, true), offset: Number(view.getBigUint64(8, true)) },
      counters: {
        blocks: Number(view.getBigUint64(16, true)),
        storedBytes: Number(view.getBigUint64(24, true)),
      },
    };
  }

  /** Synced, and with it every change applied before. */
  async setCheckpoint(checkpoint: Checkpoint): Promise<void> {
    const value = new Uint8Array(CHECKPOINT_BYTES);
    value.set(checkpoint.storeId);
    const view = new DataView(value.buffer, STORE_ID_BYTES);
    view.setUint32(0, checkpoint.position.segment, true);
    view.setBigUint64(8, BigInt(checkpoint.position.offset), true);
    view.setBigUint64(16, BigInt(checkpoint.counters.blocks), true);
    view.setBigUint64(24, BigInt(checkpoint.counters.storedBytes), true);
    const row = sealRow(CHECKPOINT_KEY, value);
    await this.#kv.write([{ type: 'put', key: CHECKPOINT_KEY, value: row }], { sync: true });
  }

  /** Forget everything, the checkpoint first: a crash in between must not leave it. */
  async clear(): Promise<void> {
    await this.#kv.write([{ type: 'del', key: CHECKPOINT_KEY }], { sync: true });
    await this.#kv.clear({ gte: ENTRY_PREFIX, lt: ENTRY_END });
  }
}

function entryKey(id: BlockId): Uint8Array {
  return concatBytes([ENTRY_PREFIX, fromHex(id)]);
}

function encodeEntry(entry: IndexEntry): Uint8Array {
  const out = new Uint8Array(ENTRY_BYTES);
  const view = new DataView(out.buffer);
  view.setUint32(0, entry.segment, true);
  view.setUint32(4, entry.length, true);
  view.setBigUint64(8, BigInt(entry.offset), true);
  view.setBigUint64(16, BigInt(entry.uploadedAt), true);
  view.setUint32(24, entry.touchSegment, true);
  return out;
}

function decodeEntry(value: Uint8Array): IndexEntry {
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  return {
    segment: view.getUint32(0, true),
    length: view.getUint32(4, true),
    offset: Number(view.getBigUint64(8, true)),
    uploadedAt: Number(view.getBigUint64(16, true)),
    touchSegment: view.getUint32(24, true),
  };
}
