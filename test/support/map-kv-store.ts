import { compareBytes, fromBinary, toBinary } from '../../src/base/bytes.ts';
import type { KvRange, KvStore, KvWrite } from '../../src/ports/kv-store.ts';

/** An ordered store in memory that outlives `close`, so that a test can open it again. */
export class MapKvStore implements KvStore {
  readonly rows = new Map<string, Uint8Array>();
  /** Test hook: thrown by the next writes while it is set. */
  failWrites: Error | undefined;

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.rows.get(toBinary(key));
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return keys.map((key) => this.rows.get(toBinary(key)));
  }

  async write(batch: readonly KvWrite[]): Promise<void> {
    if (this.failWrites !== undefined) throw this.failWrites;
    for (const item of batch) {
      if (item.type === 'put') this.rows.set(toBinary(item.key), item.value.slice());
      else this.rows.delete(toBinary(item.key));
    }
  }

  async *scan(range: KvRange): AsyncIterableIterator<readonly [Uint8Array, Uint8Array]> {
    const rows = [...this.rows]
      .map(([key, value]) => [fromBinary(key), value] as const)
      .filter(([key]) => compareBytes(key, range.gte) >= 0 && compareBytes(key, range.lt) < 0)
      .sort((a, b) => compareBytes(a[0], b[0]));
    if (range.reverse) rows.reverse();
    yield* rows.slice(0, range.limit ?? rows.length);
  }

  async clear(range: { readonly gte: Uint8Array; readonly lt: Uint8Array }): Promise<void> {
    for (const key of [...this.rows.keys()]) {
      const bytes = fromBinary(key);
      if (compareBytes(bytes, range.gte) >= 0 && compareBytes(bytes, range.lt) < 0) this.rows.delete(key);
    }
  }

  async close(): Promise<void> {}
}
