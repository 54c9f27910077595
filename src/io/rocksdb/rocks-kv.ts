import { mkdir } from 'node:fs/promises';
import RocksDb from 'rocksdb';
import { assert } from '../../base/assert.ts';
import { FsError } from '../../base/errno.ts';
import type { KvRange, KvStore, KvWrite } from '../../ports/kv-store.ts';
import { isNotFound, mapRocksError } from './rocks-error.ts';

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
  return new RocksKv(db, path, options.scansFillCache ?? true);
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
  readonly #scansFillCache: boolean;
  readonly #scans = new Set<RocksScan>();
  #inFlight = 0;
  #onIdle: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(db: RocksDb, path: string, scansFillCache: boolean) {
    this.#db = db;
    this.#path = path;
    this.#scansFillCache = scansFillCache;
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#call<Uint8Array | undefined>((resolve, reject) => {
      this.#db.get(toBuffer(key), (error, value) => {
        if (!error) resolve(fromBuffer(value));
        else if (isNotFound(error)) resolve(undefined);
        else reject(error);
      });
    });
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    if (keys.length === 0) return [];
    return await this.#call<(Uint8Array | undefined)[]>((resolve, reject) => {
      this.#db.getMany(keys.map(toBuffer), (error, values) => {
        if (error) reject(error);
        else resolve(values.map((v) => (v === undefined || v === null ? undefined : fromBuffer(v))));
      });
    });
  }

  write(batch: readonly KvWrite[], options: { readonly sync: boolean }): Promise<void> {
    return this.#call<void>((resolve, reject) => {
      const only = batch.length === 1 ? batch[0]! : undefined;
      if (only?.type === 'put') {
        // The log's usual write. Half the work of a batch.
        this.#db.put(toBuffer(only.key), toBuffer(only.value), { sync: options.sync }, (error) =>
          error ? reject(error) : resolve(),
        );
        return;
      }
      const operations = batch.map((w) =>
        w.type === 'put'
          ? { type: w.type, key: toBuffer(w.key), value: toBuffer(w.value) }
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
      fillCache: this.#scansFillCache,
    });
    const scan = new RocksScan(iterator, this.#path, (ended) => this.#scans.delete(ended));
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

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new FsError('EIO', `${this.#path}: the store is closed`);
  }

  async #call<T>(start: (resolve: (value: T) => void, reject: (error: Error) => void) => void): Promise<T> {
    this.#assertOpen();
    this.#inFlight++;
    try {
      return await new Promise<T>(start);
    } catch (error) {
      throw mapRocksError(error, this.#path);
    } finally {
      this.#inFlight--;
      if (this.#inFlight === 0) this.#onIdle?.();
    }
  }
}

/** One iterator; it holds a snapshot from its creation until it ends. */
class RocksScan implements AsyncIterableIterator<Pair> {
  readonly #iterator: RocksDb.Iterator;
  readonly #path: string;
  readonly #onEnd: (scan: RocksScan) => void;
  #nexting: Promise<unknown> | undefined;
  #ended: Promise<void> | undefined;
  #abandoned = false;

  constructor(iterator: RocksDb.Iterator, path: string, onEnd: (scan: RocksScan) => void) {
    this.#iterator = iterator;
    this.#path = path;
    this.#onEnd = onEnd;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Pair, undefined>> {
    // Never the end of the range: its reader would take what it has for everything.
    if (this.#abandoned) throw new FsError('EIO', `${this.#path}: the store was closed during a scan`);
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
      throw mapRocksError(error, this.#path);
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
        if (error) reject(error);
        else if (key === undefined || value === undefined) resolve(undefined);
        else resolve([fromBuffer(key), fromBuffer(value)]);
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
