import { assert } from '../../base/assert.ts';
import { fromBinary, plainBytes, toBinary } from '../../base/bytes.ts';
import { addHash, hashChange, NO_ROWS_HASH, rowHash } from './row-hash.ts';
import type { RowCodec, Rows, RowWrite } from './types.ts';
import { RowNotLoaded } from './types.ts';

/** Bookkeeping of one row in memory apart from its key and value, in bytes; measured roughly, V8 on 64 bits. */
const ENTRY_OVERHEAD_BYTES = 400;

/**
 * One row as known here. Its value is never changed, only turned from one form into the other: it is held as bytes or, once
 * its codec is known, as a message, but not as both for longer than a batch, because every object costs the garbage collector time.
 */
interface Entry {
  readonly present: boolean;
  bytes: Uint8Array | undefined;
  decoded: object | undefined;
  codec: RowCodec<object> | undefined;
  dirty: boolean;
  /** Hash of the row that the store has, which for a dirty one is what it was before; undefined: nobody has looked. */
  stored: number | undefined;
  /** Hash of the row as it is here, once somebody asked. */
  hash: number | undefined;
  /** Estimate of its memory in bytes. */
  cost: number;
}

interface Undo {
  readonly id: string;
  readonly previous: Entry | undefined;
}

/**
 * The rows that the driver has loaded, with the writes of the batch on top: at the same time the cache of hot rows, since
 * nobody but the state machine writes them. The driver, for each batch:
 *
 *     load(missing(prefetchKeys(command))); applyCommand(view, ...); on RowNotLoaded load its keys and apply again;
 *     store.write(view.takeWrites()).
 *
 * A batch must be in the store before rows are loaded for the batch after the next: rows written by the last batch taken are
 * never evicted, older ones may be and are then read from the store again.
 *
 * Eviction is by generations: a row that is not used while half the limit's worth of others is used goes.
 */
export class RowView implements Rows {
  readonly #bytesMax: number;
  #young = new Map<string, Entry>();
  #old = new Map<string, Entry>();
  #youngBytes = 0;
  /** Keys with writes not yet taken. */
  readonly #dirty = new Map<string, Entry>();
  readonly #undo: Undo[] = [];
  readonly #savepoints: number[] = [];

  constructor(options: { readonly cacheBytesMax: number }) {
    this.#bytesMax = options.cacheBytesMax;
  }

  /** Makes a row known; undefined: there is none. A row that is known already keeps its value. */
  load(key: Uint8Array, value: Uint8Array | undefined): void {
    const id = toBinary(key);
    if (this.#find(id) !== undefined) return;
    this.#setYoung(id, {
      present: value !== undefined,
      bytes: value === undefined ? undefined : plainBytes(value),
      decoded: undefined,
      codec: undefined,
      dirty: false,
      stored: value === undefined ? NO_ROWS_HASH : rowHash(key, value),
      hash: undefined,
      cost: costOf(id, value),
    });
  }

  /** Those of `keys` that must be loaded, each once. */
  missing(keys: readonly Uint8Array[]): Uint8Array[] {
    const out: Uint8Array[] = [];
    const seen = new Set<string>();
    for (const key of keys) {
      const id = toBinary(key);
      if (seen.has(id) || this.#find(id) !== undefined) continue;
      seen.add(id);
      out.push(key);
    }
    return out;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const entry = this.#entry(key);
    return entry.present ? bytesOf(entry) : undefined;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#change(key, {
      present: true,
      bytes: value,
      decoded: undefined,
      codec: undefined,
      dirty: true,
      stored: undefined,
      hash: undefined,
      cost: 0,
    });
  }

  del(key: Uint8Array): void {
    this.#change(key, {
      present: false,
      bytes: undefined,
      decoded: undefined,
      codec: undefined,
      dirty: true,
      stored: undefined,
      hash: undefined,
      cost: 0,
    });
  }

  read<T extends object>(key: Uint8Array, codec: RowCodec<T>): T | undefined {
    const entry = this.#entry(key);
    if (!entry.present) return undefined;
    if (entry.decoded === undefined) {
      entry.decoded = codec.decode(bytesOf(entry));
      entry.codec = codec as RowCodec<object>;
      if (!entry.dirty) entry.bytes = undefined;
    }
    return entry.decoded as T;
  }

  write<T extends object>(key: Uint8Array, codec: RowCodec<T>, value: T): void {
    // Encoded when the batch is taken: a row that many commands of a batch write is encoded once.
    this.#change(key, {
      present: true,
      bytes: undefined,
      decoded: value,
      codec: codec as RowCodec<object>,
      dirty: true,
      stored: undefined,
      hash: undefined,
      cost: 0,
    });
  }

  require(keys: readonly Uint8Array[]): void {
    const missing = this.missing(keys);
    if (missing.length > 0) throw new RowNotLoaded(missing);
  }

  knownAbsent(key: Uint8Array): void {
    this.load(key, undefined);
  }

  begin(): void {
    this.#savepoints.push(this.#undo.length);
  }

  commit(): void {
    assert(this.#savepoints.pop() !== undefined, 'commit without begin');
    if (this.#savepoints.length === 0) this.#undo.length = 0;
  }

  rollback(): void {
    const savepoint = this.#savepoints.pop();
    assert(savepoint !== undefined, 'rollback without begin');
    while (this.#undo.length > savepoint) this.#restore(this.#undo.pop()!);
  }

  /** Keys of rows to be written that were never read: the store must be asked what they were, for `hashChange`. */
  unread(): Uint8Array[] {
    const keys: Uint8Array[] = [];
    for (const [id, entry] of this.#dirty) if (entry.stored === undefined) keys.push(fromBinary(id));
    return keys;
  }

  /** What the store has under a key of `unread`. */
  loadStored(key: Uint8Array, value: Uint8Array | undefined): void {
    const entry = this.#dirty.get(toBinary(key));
    assert(entry !== undefined && entry.stored === undefined, 'only of rows that were not read');
    entry.stored = value === undefined ? NO_ROWS_HASH : rowHash(key, value);
  }

  /** By how much the writes that were not taken yet change the hash of the store. After `unread` rows were loaded. */
  hashChange(): number {
    let sum = NO_ROWS_HASH;
    for (const [id, entry] of this.#dirty) {
      assert(entry.stored !== undefined, 'it is known what the row was');
      sum = addHash(sum, hashChange(entry.stored, hashOf(fromBinary(id), entry)));
    }
    return sum;
  }

  /** The writes since the last call, one per key; they are the caller's to store. Also the moment of eviction. */
  takeWrites(): RowWrite[] {
    assert(this.#savepoints.length === 0, 'writes are taken between commands');
    const writes: RowWrite[] = [];
    for (const [id, entry] of this.#dirty) {
      const value = entry.present ? bytesOf(entry) : undefined;
      const key = fromBinary(id);
      entry.stored = hashOf(key, entry);
      writes.push(value === undefined ? { type: 'del', key } : { type: 'put', key, value });
      entry.dirty = false;
      if (entry.decoded !== undefined) entry.bytes = undefined;
      // Now that it is encoded, its size is known.
      this.#youngBytes -= entry.cost;
      entry.cost = costOf(id, value);
      this.#youngBytes += entry.cost;
    }
    this.#dirty.clear();
    if (this.#youngBytes > this.#bytesMax / 2) this.#rotate();
    return writes;
  }

  /** Forgets everything: the store was replaced by a snapshot. */
  clear(): void {
    assert(this.#savepoints.length === 0 && this.#dirty.size === 0, 'nothing is lost by clear');
    this.#young.clear();
    this.#old.clear();
    this.#youngBytes = 0;
  }

  /** Rows known, present or absent. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }

  #rotate(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngBytes = 0;
  }

  #entry(key: Uint8Array): Entry {
    const entry = this.#find(toBinary(key));
    if (entry === undefined) throw new RowNotLoaded([key]);
    return entry;
  }

  #find(id: string): Entry | undefined {
    const young = this.#young.get(id);
    if (young !== undefined) return young;
    const old = this.#old.get(id);
    if (old === undefined) return undefined;
    this.#old.delete(id);
    this.#setYoung(id, old);
    return old;
  }

  #setYoung(id: string, entry: Entry): void {
    this.#youngBytes += entry.cost - (this.#young.get(id)?.cost ?? 0);
    this.#young.set(id, entry);
  }

  #change(key: Uint8Array, entry: Entry): void {
    const id = toBinary(key);
    const previous = this.#find(id);
    entry.stored = previous?.stored;
    if (this.#savepoints.length > 0) this.#undo.push({ id, previous });
    this.#setYoung(id, entry);
    this.#dirty.set(id, entry);
  }

  #restore(undo: Undo): void {
    const { id, previous } = undo;
    if (previous === undefined) {
      this.#youngBytes -= this.#young.get(id)?.cost ?? 0;
      this.#young.delete(id);
    } else {
      this.#setYoung(id, previous);
    }
    if (previous?.dirty === true) this.#dirty.set(id, previous);
    else this.#dirty.delete(id);
  }
}

function bytesOf(entry: Entry): Uint8Array {
  entry.bytes ??= entry.codec!.encode(entry.decoded!);
  return entry.bytes;
}

function hashOf(key: Uint8Array, entry: Entry): number {
  entry.hash ??= entry.present ? rowHash(key, bytesOf(entry)) : NO_ROWS_HASH;
  return entry.hash;
}

function costOf(id: string, value: Uint8Array | undefined): number {
  return id.length + (value?.length ?? 0) + ENTRY_OVERHEAD_BYTES;
}
