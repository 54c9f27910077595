import { mkdir } from 'node:fs/promises';
import RocksDb from 'rocksdb';
import { assert } from '../../base/assert.ts';
import { toHex } from '../../base/bytes.ts';
import { FsError } from '../../base/errno.ts';
import { KvDamagedError, type KvRange, type KvStore, type KvWrite } from '../../ports/kv-store.ts';
import { isNotFound, mapRocksError, StoreUnusableError } from './rocks-error.ts';
import { sealRow, unsealRow } from './row-seal.ts';

export interface RocksKvOptions {
  /** Block cache. Default 16 MiB. */
  readonly cacheSizeBytes?: number;
  /** One memtable; RocksDB keeps up to two. Default 8 MiB. */
  readonly writeBufferBytes?: number;
  /** Default 256. */
  readonly openFilesMax?: number;
  /** Default true. */
  readonly compression?: boolean;
  /** Whether what scans read is kept in memory for later reads. Default true. */
  readonly scansFillCache?: boolean;
  /** Each value carries a checksum, and what a scan reads is as trustworthy as what a get reads. Default false. */
  readonly sealed?: boolean;
  /** Called when what is read is not what was written; the read rejects with KvDamagedError then. */
  readonly onDamaged?: (error: KvDamagedError) => void;
}

const MIB = 1024 * 1024;
/** Bytes that an iterator reads per hop to the thread pool. */
const SCAN_READ_AHEAD_BYTES = 128 * 1024;

type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** Opens or creates the database in `path`. Rejects with StoreUnusableError when it is locked or corrupt. */
export async function openRocksKv(path: string, options: RocksKvOptions = {}): Promise<KvStore> {
  await mkdir(path, { recursive: true });
  const db = new RocksDb(path);
  await new Promise<void>((resolve, reject) => {
    db.open(
      {
        createIfMissing: true,
        compression: options.compression ?? true,
        cacheSize: options.cacheSizeBytes ?? 16 * MIB,
        writeBufferSize: options.writeBufferBytes ?? 8 * MIB,
        maxOpenFiles: options.openFilesMax ?? 256,
      },
      (error) => (error ? reject(mapRocksError(error, path)) : resolve()),
    );
  });
  return new RocksKv(db, path, options);
}

/** The binding copies keys and values before its calls return, so a view is enough. */
function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Not a Buffer, whose `slice` does not copy. */
function fromBuffer(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

class RocksKv implements KvStore {
  readonly #db: RocksDb;
  readonly #path: string;
  readonly #options: RocksKvOptions;
  readonly #scans = new Set<RocksScan>();
  #inFlight = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(db: RocksDb, path: string, options: RocksKvOptions) {
    this.#db = db;
    this.#path = path;
    this.#options = options;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#call<Uint8Array | undefined>((resolve, reject) => {
      this.#db.get(toBuffer(key), (error, value) => {
        if (isNotFound(error)) return resolve(undefined);
        if (error) return reject(error);
        try {
          resolve(this.#content(key, value));
        } catch (damaged) {
          reject(damaged as Error);
        }
      });
    });
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    if (keys.length === 0) return [];
    return await this.#call<(Uint8Array | undefined)[]>((resolve, reject) => {
      this.#db.getMany(keys.map(toBuffer), (error, values) => {
        if (error) return reject(error);
        try {
          resolve(
            values.map((v, at) => (v === undefined || v === null ? undefined : this.#content(keys[at]!, v))),
          );
        } catch (damaged) {
          reject(damaged as Error);
        }
      });
    });
  }

  write(batch: readonly KvWrite[], options: { readonly sync: boolean }): Promise<void> {
    return this.#call<void>((resolve, reject) => {
      const only = batch.length === 1 ? batch[0]! : undefined;
      if (only?.type === 'put') {
        // The log's usual write. Half the work of a batch.
        this.#db.put(toBuffer(only.key), this.#sealed(only), { sync: options.sync }, (error) =>
          error ? reject(error) : resolve(),
        );
        return;
      }
      const operations = batch.map((w) =>
        w.type === 'put'
          ? { type: w.type, key: toBuffer(w.key), value: this.#sealed(w) }
          : { type: w.type, key: toBuffer(w.key) },
      );
      this.#db.batch(operations, { sync: options.sync }, (error) => (error ? reject(error) : resolve()));
    });
  }

  scan(range: KvRange): AsyncIterableIterator<Pair> {
    this.#assertOpen();
    const iterator = this.#db.iterator({
      gte: toBuffer(range.gte),
      lt: toBuffer(range.lt),
      limit: range.limit ?? -1,
      reverse: range.reverse ?? false,
      highWaterMark: SCAN_READ_AHEAD_BYTES,
      fillCache: this.#options.scansFillCache ?? true,
    });
    const scan = new RocksScan(
      iterator,
      {
        path: this.#path,
        content: (key, value) => this.#content(key, value),
        failure: (thrown) => this.#failure(thrown),
      },
      (ended) => this.#scans.delete(ended),
    );
    this.#scans.add(scan);
    return scan;
  }

  clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    return this.#call<void>((resolve, reject) => {
      this.#db.clear({ gte: toBuffer(range.gte), lt: toBuffer(range.lt) }, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  }

  /** Ends open scans, lets calls in flight finish, and refuses new ones. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#scans].map((scan) => scan.abandon()));
    if (this.#inFlight > 0) await new Promise<void>((resolve) => (this.#onIdle = resolve));
    await new Promise<void>((resolve, reject) => {
      this.#db.close((error) => (error ? reject(mapRocksError(error, this.#path)) : resolve()));
    });
  }

  #sealed({ key, value }: { readonly key: Uint8Array; readonly value: Uint8Array }): Buffer {
    return toBuffer(this.#options.sealed === true ? sealRow(key, value) : value);
  }

  /** What was written under `key`. Throws KvDamagedError. */
  #content(key: Uint8Array, value: Buffer): Uint8Array {
    if (this.#options.sealed !== true) return fromBuffer(value);
    const content = unsealRow(key, fromBuffer(value));
    if (content !== undefined) return content;
    throw new KvDamagedError(
      `the row ${toHex(key)} in ${this.#path} is not what was written: check the disk`,
    );
  }

  /** As callers are to see it; the owner of the store hears of damage. */
  #failure(thrown: unknown): Error {
    const { onDamaged } = this.#options;
    const mapped = thrown instanceof KvDamagedError ? thrown : mapRocksError(thrown, this.#path);
    const damaged =
      mapped instanceof StoreUnusableError && mapped.damaged && onDamaged !== undefined
        ? new KvDamagedError(mapped.message, { cause: thrown })
        : mapped;
    if (damaged instanceof KvDamagedError) onDamaged?.(damaged);
    return damaged;
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new FsError('EIO', `${this.#path}: the store is closed`);
  }

  async #call<T>(start: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
    this.#assertOpen();
    this.#inFlight++;
    try {
      return await new Promise<T>(start);
    } catch (error) {
      throw this.#failure(error);
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#onIdle?.();
    }
  }
}

/** What a scan needs of its store. */
interface ScannedStore {
  readonly path: string;
  content(key: Uint8Array, value: Buffer): Uint8Array;
  failure(thrown: unknown): Error;
}

/** One iterator; it holds a snapshot from its creation until it ends. */
class RocksScan implements AsyncIterableIterator<Pair> {
  readonly #iterator: RocksDb.Iterator;
  readonly #store: ScannedStore;
  readonly #onEnd: (scan: RocksScan) => void;
  #nexting: Promise<unknown> | undefined;
  #ended: Promise<void> | undefined;
  #abandoned = false;

  constructor(iterator: RocksDb.Iterator, store: ScannedStore, onEnd: (scan: RocksScan) => void) {
    this.#iterator = iterator;
    this.#store = store;
    this.#onEnd = onEnd;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Pair, undefined>> {
    // Never the end of the range: its reader would take what it has for everything.
    if (this.#abandoned) throw new FsError('EIO', `${this.#store.path}: the store was closed during a scan`);
    if (this.#ended !== undefined) return { done: true, value: undefined };
    assert(this.#nexting === undefined, 'a scan is read by one reader at a time');
    const step = this.#read();
    this.#nexting = step.catch(() => undefined);
    let pair: Pair | undefined;
    try {
      pair = await step;
    } catch (error) {
      this.#nexting = undefined;
      await this.#end();
      throw this.#store.failure(error);
    }
    this.#nexting = undefined;
    if (pair !== undefined) return { done: false, value: pair };
    await this.#end();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Pair, undefined>> {
    await this.#nexting;
    await this.#end();
    return { done: true, value: undefined };
  }

  /** The store is closing under the reader. */
  async abandon(): Promise<void> {
    if (this.#ended === undefined) this.#abandoned = true;
    await this.return();
  }

  #read(): Promise<Pair | undefined> {
    return new Promise((resolve, reject) => {
      this.#iterator.next((error, key, value) => {
        if (error) return reject(error);
        if (key === undefined || value === undefined) return resolve(undefined);
        try {
          const name = fromBuffer(key);
          resolve([name, this.#store.content(name, value)]);
        } catch (damaged) {
          reject(damaged as Error);
        }
      });
    });
  }

  #end(): Promise<void> {
    this.#ended ??= new Promise<void>((resolve) => {
      this.#iterator.end(() => {
        this.#onEnd(this);
        resolve();
      });
    });
    return this.#ended;
  }
}
