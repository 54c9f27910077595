import { assert } from '../../base/assert.ts';
import type { HardState } from '../../core/raft/types.ts';
import type { RaftEntry, RaftSnapshotMeta } from '../../gen/ringfs/v1/raft.ts';
import type { KvStore, KvWrite } from '../../ports/kv-store.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import { DataDirectoryError } from './errors.ts';
import {
  ChecksumError,
  decodeEntry,
  decodeHardState,
  decodeIdentity,
  decodeSnapshotMeta,
  encodeEntry,
  encodeHardState,
  encodeIdentity,
  encodeSnapshotMeta,
  entryKey,
  entryRange,
  HARD_STATE_KEY,
  IDENTITY_KEY,
  type Identity,
  indexOfKey,
  SNAPSHOT_META_KEY,
  seal,
  unseal,
} from './log-codec.ts';

export interface LoadedLog {
  readonly identity: Identity | undefined;
  readonly hardState: HardState;
  /** Where the log starts; undefined in a directory without a log. */
  readonly snapshot: RaftSnapshotMeta | undefined;
  readonly entries: RaftEntry[];
}

/**
 * The Raft log on disk: hard state, where the log starts, entries by index, and whose log it is. One batch per call, so
 * that an append is on disk as a whole or not at all.
 */
export class RaftLogStore {
  readonly #storage: MetaStorage;
  #kv: KvStore;
  /** Index before the first stored entry. */
  #start = 0;
  /** Stored bytes of each entry from #start + 1 on. */
  readonly #sizes: number[] = [];
  #bytes = 0;
  #hardState: HardState = { term: 0, votedFor: undefined, commit: 0 };

  private constructor(storage: MetaStorage, kv: KvStore) {
    this.#storage = storage;
    this.#kv = kv;
  }

  static async open(storage: MetaStorage): Promise<RaftLogStore> {
    return new RaftLogStore(storage, await storage.openLog());
  }

  get lastIndex(): number {
    return this.#start + this.#sizes.length;
  }

  get startIndex(): number {
    return this.#start;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** As last written. */
  get hardState(): HardState {
    return this.#hardState;
  }

  /** Reads and verifies everything. Throws DataDirectoryError for a log that must not be used. */
  async load(): Promise<LoadedLog> {
    const identity = await this.#row(IDENTITY_KEY, decodeIdentity, 'identity');
    const hardState = await this.#row(HARD_STATE_KEY, decodeHardState, 'hard state');
    const snapshot = await this.#row(SNAPSHOT_META_KEY, decodeSnapshotMeta, 'start of the log');
    this.#start = snapshot?.index ?? 0;
    await this.dropCompacted();
    const entries = await this.#loadEntries();
    this.#hardState = hardState ?? this.#hardState;
    return { identity, hardState: this.#hardState, snapshot, entries };
  }

  async #loadEntries(): Promise<RaftEntry[]> {
    const entries: RaftEntry[] = [];
    this.#sizes.length = 0;
    this.#bytes = 0;
    for await (const [key, value] of this.#kv.scan(entryRange(0))) {
      const index = indexOfKey(key);
      const expected = this.#start + 1 + entries.length;
      if (index !== expected) throw this.#damaged(`entries ${expected} to ${index - 1} are missing`);
      const entry = this.#decode(key, value, decodeEntry, `entry ${index}`);
      if (entry.index !== index) throw this.#damaged(`entry ${index} says that it is entry ${entry.index}`);
      entries.push(entry);
      this.#pushSize(value.length);
    }
    return entries;
  }

  /** First use of the directory. */
  async initialize(identity: Identity, snapshot: RaftSnapshotMeta): Promise<void> {
    await this.#kv.write(
      [
        putSealed(IDENTITY_KEY, encodeIdentity(identity)),
        putSealed(SNAPSHOT_META_KEY, encodeSnapshotMeta(snapshot)),
      ],
      { sync: true },
    );
    this.#start = snapshot.index;
  }

  /** Stored entries are replaced by others of the same index and term, and so is the hard state. For forced recovery only: what is
   * changed must be in nobody else's log. */
  async rewrite(entries: readonly RaftEntry[], hardState: HardState): Promise<void> {
    for (const { index } of entries)
      assert(index > this.#start && index <= this.lastIndex, 'the entry is stored');
    const batch = entries.map((entry) => putSealed(entryKey(entry.index), encodeEntry(entry)));
    await this.#kv.write([...batch, putSealed(HARD_STATE_KEY, encodeHardState(hardState))], { sync: true });
    this.#hardState = hardState;
  }

  /** Stores `entries`, dropping all stored ones from the first of them on, and the hard state, in one batch. */
  async append(
    entries: readonly RaftEntry[],
    hardState: HardState | undefined,
    options: { readonly sync: boolean },
  ): Promise<void> {
    const batch: KvWrite[] = [];
    const sizes: number[] = [];
    const first = entries[0]?.index ?? this.lastIndex + 1;
    assert(first > this.#start && first <= this.lastIndex + 1, 'the stored log has no gaps');
    for (let at = 0; at < entries.length; at++) {
      const entry = entries[at]!;
      assert(entry.index === first + at, 'entries are appended in order');
      const put = putSealed(entryKey(entry.index), encodeEntry(entry));
      sizes.push(put.value.length);
      batch.push(put);
    }
    const last = entries.length > 0 ? first + entries.length - 1 : this.lastIndex;
    for (let index = last + 1; index <= this.lastIndex; index++) {
      batch.push({ type: 'del', key: entryKey(index) });
    }
    if (hardState !== undefined) batch.push(putSealed(HARD_STATE_KEY, encodeHardState(hardState)));
    if (batch.length === 0) return;
    await this.#kv.write(batch, options);
    if (entries.length > 0) this.#truncateSizes(first);
    for (const size of sizes) this.#pushSize(size);
    if (hardState !== undefined) this.#hardState = hardState;
  }

  /** The log starts after `meta.index` from now on. The state up to it must be durable. See dropCompacted. */
  async compact(meta: RaftSnapshotMeta): Promise<void> {
    assert(meta.index > this.#start && meta.index <= this.lastIndex, 'compaction stays within the log');
    const oldStart = this.#start;
    await this.#kv.write([putSealed(SNAPSHOT_META_KEY, encodeSnapshotMeta(meta))], { sync: true });
    for (const size of this.#sizes.splice(0, meta.index - oldStart)) this.#bytes -= size;
    this.#start = meta.index;
  }

  /** Deletes what compaction left behind. It is in nobody's way, so it may run beside `append`. */
  async dropCompacted(): Promise<void> {
    await this.#kv.clear({ gte: entryKey(0), lt: entryKey(this.#start + 1) });
  }

  /** The state machine was replaced: an empty log that starts after `meta.index`. */
  async reset(meta: RaftSnapshotMeta): Promise<void> {
    const hardState = { ...this.#hardState, commit: Math.max(this.#hardState.commit, meta.index) };
    const batch: KvWrite[] = [
      putSealed(SNAPSHOT_META_KEY, encodeSnapshotMeta(meta)),
      putSealed(HARD_STATE_KEY, encodeHardState(hardState)),
    ];
    for (let index = this.#start + 1; index <= this.lastIndex; index++) {
      batch.push({ type: 'del', key: entryKey(index) });
    }
    await this.#kv.write(batch, { sync: true });
    this.#truncateSizes(this.#start + 1);
    this.#start = meta.index;
    this.#hardState = hardState;
  }

  /** Highest index that `compact` can go to so that at most `entriesMax` entries and `bytesMax` bytes up to `applied`
   * stay behind it. */
  compactionPoint(applied: number, entriesMax: number, bytesMax: number): number {
    let index = Math.min(applied, this.lastIndex);
    let bytes = 0;
    for (let kept = 0; index > this.#start && kept < entriesMax; kept++) {
      bytes += this.#sizes[index - this.#start - 1]!;
      if (bytes > bytesMax) break;
      index--;
    }
    return index;
  }

  /** After a failed write the store's own log may end in a torn record, behind which nothing must be written: close it and
   * let recovery start a fresh one. Throws DataDirectoryError when less came back than had been synced. */
  async reopen(): Promise<void> {
    await this.#kv.close();
    this.#kv = await this.#storage.openLog();
    const hardState = await this.#row(HARD_STATE_KEY, decodeHardState, 'hard state');
    if ((hardState?.term ?? 0) < this.#hardState.term) throw this.#damaged('the hard state went back');
    if (this.#sizes.length > 0) {
      const key = entryKey(this.lastIndex);
      const value = await this.#kv.get(key);
      if (value === undefined) throw this.#damaged(`entry ${this.lastIndex} was synced and is gone`);
      this.#decode(key, value, decodeEntry, `entry ${this.lastIndex}`);
    }
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  #pushSize(size: number): void {
    this.#sizes.push(size);
    this.#bytes += size;
  }

  #truncateSizes(first: number): void {
    for (const size of this.#sizes.splice(first - this.#start - 1)) this.#bytes -= size;
  }

  async #row<T>(key: Uint8Array, decode: (content: Uint8Array) => T, what: string): Promise<T | undefined> {
    const value = await this.#kv.get(key);
    return value === undefined ? undefined : this.#decode(key, value, decode, what);
  }

  #decode<T>(key: Uint8Array, value: Uint8Array, decode: (content: Uint8Array) => T, what: string): T {
    try {
      return decode(unseal(key, value));
    } catch (error) {
      const why = error instanceof ChecksumError ? error.message : 'cannot be decoded';
      throw this.#damaged(`${what}: ${why}`, error);
    }
  }

  #damaged(what: string, cause?: unknown): DataDirectoryError {
    return damagedError(this.#storage.location, what, cause);
  }
}

/** Committed entries may be missing: starting would let the cluster forget them, so a person has to decide. */
export function damagedError(location: string, what: string, cause?: unknown): DataDirectoryError {
  return new DataDirectoryError(
    `the metadata in ${location} is damaged (${what}). This server does not start from it. Restore the ` +
      `directory from a backup. Do not start this server again with an empty one: it would have forgotten its votes and ` +
      `what it stored for the cluster. As long as a majority of the metadata servers is healthy, the cluster works without it`,
    { cause },
  );
}

function putSealed(
  key: Uint8Array,
  content: Uint8Array,
): { type: 'put'; key: Uint8Array; value: Uint8Array } {
  return { type: 'put', key, value: seal(key, content) };
}
