import { fromBinary, toBinary } from '../../src/base/bytes.ts';
import type { KvRange, KvStore, KvWrite } from '../../src/ports/kv-store.ts';

/** Failures to inject; each is looked at once per call. */
export interface MemoryKvHooks {
  /** Runs before a batch is applied. Throw to refuse the batch, or await to delay it. */
  beforeWrite?: (batch: readonly KvWrite[], options: { readonly sync: boolean }) => Promise<void> | void;
}

/**
 * A sorted map behind the KvStore port. Values are copied on the way in and out, so that sharing a buffer by mistake shows.
 * The methods ending in Sync do the same without a promise, for tests that drive the pure core.
 */
export class MemoryKvStore implements KvStore {
  readonly hooks: MemoryKvHooks;
  readonly #values = new Map<string, Uint8Array>();
  /** The keys of `#values` in order. */
  readonly #keys: string[] = [];
  #closed = false;
  #writes = 0;

  constructor(hooks: MemoryKvHooks = {}) {
    this.hooks = hooks;
  }

  /** Batches written so far. */
  get writes(): number {
    return this.#writes;
  }

  get size(): number {
    return this.#keys.length;
  }

  getSync(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(toBinary(key))?.slice();
  }

  writeSync(batch: readonly KvWrite[]): void {
    this.#assertOpen();
    this.#writes++;
    for (const write of batch) {
      const key = toBinary(write.key);
      if (write.type === 'put') this.#put(key, write.value.slice());
      else this.#delete(key);
    }
  }

  scanSync(range: KvRange): (readonly [key: Uint8Array, value: Uint8Array])[] {
    this.#assertOpen();
    const from = this.#position(toBinary(range.gte));
    const to = this.#position(toBinary(range.lt));
    let keys = this.#keys.slice(from, Math.max(from, to));
    if (range.reverse === true) keys.reverse();
    if (range.limit !== undefined && range.limit >= 0) keys = keys.slice(0, range.limit);
    return keys.map((key) => [fromBinary(key), this.#values.get(key)!.slice()] as const);
  }

  /** Every pair in key order. */
  dumpSync(): (readonly [key: Uint8Array, value: Uint8Array])[] {
    return this.#keys.map((key) => [fromBinary(key), this.#values.get(key)!.slice()] as const);
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    this.#assertOpen();
    return this.getSync(key);
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#assertOpen();
    return keys.map((key) => this.getSync(key));
  }

  async write(batch: readonly KvWrite[], options: { readonly sync: boolean }): Promise<void> {
    this.#assertOpen();
    // The caller may reuse its buffers only after the promise resolves, so the batch is read after the hook.
    await this.hooks.beforeWrite?.(batch, options);
    this.writeSync(batch);
  }

  scan(range: KvRange): AsyncIterableIterator<readonly [key: Uint8Array, value: Uint8Array]> {
    const pairs = this.scanSync(range);
    let at = 0;
    let done = false;
    const iterator: AsyncIterableIterator<readonly [key: Uint8Array, value: Uint8Array]> = {
      next: async () => {
        const pair = done ? undefined : pairs[at++];
        return pair === undefined ? { done: true, value: undefined } : { done: false, value: pair };
      },
      return: async () => {
        done = true;
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  async clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    for (const [key] of this.scanSync(range)) this.#delete(toBinary(key));
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  /** First position whose key is not less than `key`. */
  #position(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #put(key: string, value: Uint8Array): void {
    if (!this.#values.has(key)) this.#keys.splice(this.#position(key), 0, key);
    this.#values.set(key, value);
  }

  #delete(key: string): void {
    if (this.#values.delete(key)) this.#keys.splice(this.#position(key), 1);
  }

  #assertOpen(): void {
    if (this.#closed) throw new Error('the store is closed');
  }
}
