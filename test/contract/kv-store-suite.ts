import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { concatBytes } from '../../src/base/bytes.ts';
import { seededRandom } from '../../src/base/random.ts';
import type { KvRange, KvStore } from '../../src/ports/kv-store.ts';

const key = (text: string): Uint8Array => new TextEncoder().encode(text);
const ALL: KvRange = { gte: Uint8Array.of(0), lt: Uint8Array.of(0xff, 0xff) };

async function keysOf(store: KvStore, range: KvRange): Promise<string[]> {
  const out: string[] = [];
  for await (const [k] of store.scan(range)) out.push(new TextDecoder().decode(k));
  return out;
}

const put = (k: string, v = k) => ({ type: 'put' as const, key: key(k), value: key(v) });
const del = (k: string) => ({ type: 'del' as const, key: key(k) });

/** What every KvStore does. `open` gives an empty one. */
export function kvStoreContract(name: string, open: () => Promise<KvStore>): void {
  describe(`KvStore: ${name}`, () => {
    const using = (title: string, body: (store: KvStore) => Promise<void>): void => {
      it(title, async () => {
        const store = await open();
        try {
          await body(store);
        } finally {
          await store.close();
        }
      });
    };

    using('gets what was put, and nothing for a missing key', async (store) => {
      await store.write([put('a', '1')], { sync: false });
      assert.deepEqual(await store.get(key('a')), key('1'));
      assert.equal(await store.get(key('b')), undefined);
    });

    using('gives plain byte arrays', async (store) => {
      await store.write([put('a', '1234')], { sync: false });
      const value = await store.get(key('a'));
      const [many] = await store.getMany([key('a')]);
      assert.equal(value?.constructor, Uint8Array);
      assert.equal(many?.constructor, Uint8Array);
      for await (const [k, v] of store.scan(ALL)) {
        assert.equal(k.constructor, Uint8Array);
        assert.equal(v.constructor, Uint8Array);
      }
    });

    using('keeps empty values apart from missing ones', async (store) => {
      await store.write([put('a', '')], { sync: false });
      assert.deepEqual(await store.get(key('a')), new Uint8Array(0));
      assert.deepEqual(await store.getMany([key('a'), key('b')]), [new Uint8Array(0), undefined]);
    });

    using('getMany answers in the order asked, duplicates included', async (store) => {
      await store.write([put('a', '1'), put('b', '2'), put('c', '3')], { sync: false });
      const values = await store.getMany(['c', 'x', 'a', 'c'].map(key));
      assert.deepEqual(values, [key('3'), undefined, key('1'), key('3')]);
      assert.deepEqual(await store.getMany([]), []);
    });

    using('applies a batch in order', async (store) => {
      await store.write([put('a', '1'), put('a', '2'), put('b'), del('b'), del('c'), put('c')], {
        sync: true,
      });
      assert.deepEqual(await store.getMany(['a', 'b', 'c'].map(key)), [key('2'), undefined, key('c')]);
    });

    using('accepts an empty batch', async (store) => {
      await store.write([], { sync: true });
      assert.deepEqual(await keysOf(store, ALL), []);
    });

    using('scans in byte order within [gte, lt)', async (store) => {
      await store.write(
        ['b', 'a', 'ab', 'c', 'B', '~'].map((k) => put(k)),
        { sync: false },
      );
      assert.deepEqual(await keysOf(store, ALL), ['B', 'a', 'ab', 'b', 'c', '~']);
      assert.deepEqual(await keysOf(store, { gte: key('a'), lt: key('c') }), ['a', 'ab', 'b']);
      assert.deepEqual(await keysOf(store, { gte: key('aa'), lt: key('b') }), ['ab']);
      assert.deepEqual(await keysOf(store, { gte: key('c'), lt: key('a') }), []);
    });

    using('scans backwards and with a limit', async (store) => {
      await store.write(
        ['a', 'b', 'c', 'd'].map((k) => put(k)),
        { sync: false },
      );
      const range = { gte: key('a'), lt: key('d') };
      assert.deepEqual(await keysOf(store, { ...range, reverse: true }), ['c', 'b', 'a']);
      assert.deepEqual(await keysOf(store, { ...range, limit: 2 }), ['a', 'b']);
      assert.deepEqual(await keysOf(store, { ...range, limit: 2, reverse: true }), ['c', 'b']);
    });

    using('scans keys that are not text, with bytes above 0x7f in unsigned order', async (store) => {
      const keys = [[0], [0, 0], [0x7f], [0x80], [0xfe, 0xff], [0xff, 0]].map((k) => Uint8Array.from(k));
      const puts = keys.map((k) => ({ type: 'put' as const, key: k, value: k }));
      await store.write(puts.reverse(), { sync: false });
      const found: Uint8Array[] = [];
      for await (const [k] of store.scan(ALL)) found.push(k);
      assert.deepEqual(found, keys);
    });

    using('a scan sees the store as of the call', async (store) => {
      const names = Array.from({ length: 500 }, (_, i) => `k${String(i).padStart(4, '0')}`);
      await store.write(
        names.map((n) => put(n, 'old'.repeat(200))),
        { sync: false },
      );
      const scan = store.scan(ALL);
      await store.write([...names.map((n) => put(n, 'new')), put('k9999')], { sync: false });
      await store.write([del('k0250')], { sync: false });
      let seen = 0;
      for await (const [, value] of scan) {
        assert.equal(value.length, 600);
        seen++;
      }
      assert.equal(seen, 500);
    });

    using('a scan that is left early ends', async (store) => {
      await store.write(
        ['a', 'b', 'c'].map((k) => put(k)),
        { sync: false },
      );
      for await (const [k] of store.scan(ALL)) {
        assert.deepEqual(k, key('a'));
        break;
      }
      const scan = store.scan(ALL);
      await scan.next();
      await scan.return?.();
      assert.equal((await scan.next()).done, true);
    });

    using('clears a range and nothing else', async (store) => {
      await store.write(
        ['a', 'b', 'c', 'd'].map((k) => put(k)),
        { sync: false },
      );
      await store.clear({ gte: key('b'), lt: key('d') });
      assert.deepEqual(await keysOf(store, ALL), ['a', 'd']);
    });

    using('takes many writers at once', async (store) => {
      const writes = Array.from({ length: 64 }, (_, i) => store.write([put(`k${i}`)], { sync: true }));
      await Promise.all(writes);
      assert.equal((await keysOf(store, ALL)).length, 64);
    });

    using('keeps values of every size', async (store) => {
      const random = seededRandom(7);
      for (const size of [1, 100, 4096, 1 << 20]) {
        const value = random.bytes(size);
        const k = concatBytes([key('size-'), key(String(size))]);
        await store.write([{ type: 'put', key: k, value }], { sync: false });
        assert.deepEqual(await store.get(k), value);
      }
    });

    it('refuses work after close', async () => {
      const store = await open();
      await store.close();
      await assert.rejects(async () => await store.get(key('a')));
      await assert.rejects(async () => await store.write([put('a')], { sync: true }));
    });
  });
}
