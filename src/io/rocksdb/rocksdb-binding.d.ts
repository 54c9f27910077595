/** What RingFS uses of the npm package `rocksdb`, which has no types of its own. An abstract-leveldown store. */
declare module 'rocksdb' {
  type Callback<T = void> = (error: Error | null | undefined, value: T) => void;

  interface OpenOptions {
    readonly createIfMissing?: boolean;
    readonly compression?: boolean;
    readonly cacheSize?: number;
    readonly writeBufferSize?: number;
    readonly maxOpenFiles?: number;
  }

  interface RangeOptions {
    readonly gte?: Buffer;
    readonly lt?: Buffer;
    readonly limit?: number;
    readonly reverse?: boolean;
  }

  interface IteratorOptions extends RangeOptions {
    /** Bytes read ahead per call into the binding. */
    readonly highWaterMark?: number;
    readonly fillCache?: boolean;
  }

  type Operation =
    | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
    | { readonly type: 'del'; readonly key: Buffer };

  interface Iterator {
    /** Calls back without key and value at the end. */
    next(callback: (error: Error | null | undefined, key?: Buffer, value?: Buffer) => void): void;
    end(callback: Callback): void;
  }

  class RocksDb {
    constructor(location: string);
    open(options: OpenOptions, callback: Callback): void;
    close(callback: Callback): void;
    get(key: Buffer, callback: Callback<Buffer>): void;
    getMany(keys: readonly Buffer[], callback: Callback<(Buffer | undefined)[]>): void;
    put(key: Buffer, value: Buffer, options: { readonly sync: boolean }, callback: Callback): void;
    batch(operations: readonly Operation[], options: { readonly sync: boolean }, callback: Callback): void;
    iterator(options: IteratorOptions): Iterator;
    clear(options: RangeOptions, callback: Callback): void;
  }

  namespace RocksDb {
    export type { Iterator, Operation };
  }

  export = RocksDb;
}
