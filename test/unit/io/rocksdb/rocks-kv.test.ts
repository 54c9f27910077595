import { strict as assert } from 'node:assert';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { FsError } from '../../../../src/base/errno.ts';
import { seededRandom } from '../../../../src/base/random.ts';
import { openMetaStorage } from '../../../../src/io/rocksdb/meta-storage.ts';
import { mapRocksError, StoreUnusableError } from '../../../../src/io/rocksdb/rocks-error.ts';
import { openRocksKv, type RocksKvOptions } from '../../../../src/io/rocksdb/rocks-kv.ts';
import { KvDamagedError, type KvStore } from '../../../../src/ports/kv-store.ts';
import { flipInTables } from '../../../support/flip-in-tables.ts';

const root = await mkdtemp(join(tmpdir(), 'ringfs-rocks-'));
after(() => rm(root, { recursive: true, force: true }));
const key = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('RocksDB store', () => {
  it('keeps its content over close and open', async () => {
    const path = join(root, 'reopen');
    const first = await openRocksKv(path);
    await first.write([{ type: 'put', key: key('a'), value: key('1') }], { sync: false });
    await first.close();
    const second = await openRocksKv(path);
    assert.deepEqual(await second.get(key('a')), key('1'));
    await second.close();
  });

  it('says that another process has the directory', async () => {
    const path = join(root, 'locked');
    const first = await openRocksKv(path);
    await assert.rejects(
      openRocksKv(path),
      (error) =>
        error instanceof StoreUnusableError &&
        error.message.includes(path) &&
        error.message.includes('in use by another process'),
    );
    await first.close();
  });

  it('says what to do about a corrupt directory', async () => {
    const path = join(root, 'corrupt');
    const store = await openRocksKv(path);
    await store.write([{ type: 'put', key: key('a'), value: key('1') }], { sync: true });
    await store.close();
    for (const file of await readdir(path)) {
      if (file.startsWith('MANIFEST')) await writeFile(join(path, file), 'nonsense'.repeat(100));
    }
    await assert.rejects(
      openRocksKv(path),
      (error) =>
        error instanceof StoreUnusableError &&
        error.message.includes(path) &&
        error.message.includes('remove'),
    );
  });

  it('maps a full disk to ENOSPC and anything unknown to EIO', () => {
    const full = mapRocksError(new Error('IO error: No space left on device: While appending'), '/d');
    assert.ok(full instanceof FsError && full.code === 'ENOSPC');
    const unknown = mapRocksError(new Error('what is this'), '/d');
    assert.ok(unknown instanceof FsError && unknown.code === 'EIO');
  });

  it('does not let a scan end as if at the end of the range when the store closes under it', async () => {
    const store = await openRocksKv(join(root, 'closing'));
    await store.write(
      ['a', 'b', 'c'].map((k) => ({ type: 'put', key: key(k), value: key(k) })),
      { sync: false },
    );
    const scan = store.scan({ gte: key('a'), lt: key('z') });
    await scan.next();
    await store.close();
    await assert.rejects(scan.next(), /closed/);
  });

  it('finishes calls in flight before it closes', async () => {
    const store = await openRocksKv(join(root, 'in-flight'));
    const writes = Array.from({ length: 32 }, (_, i) =>
      store.write([{ type: 'put', key: key(`k${i}`), value: key('v') }], { sync: true }),
    );
    const closed = store.close();
    await Promise.all(writes);
    await closed;
  });
});

describe('metadata storage', () => {
  it('switches between states and removes what is not live', async () => {
    const storage = await openMetaStorage(join(root, 'meta'));
    assert.equal(await storage.current(), undefined);
    for (const name of ['state-1', 'state-2']) {
      const state = await storage.openState(name);
      await state.write([{ type: 'put', key: key('n'), value: key(name) }], { sync: true });
      await state.close();
    }
    await storage.switchTo('state-1');
    await storage.switchTo('state-2');
    assert.equal(await storage.current(), 'state-2');
    assert.deepEqual(await storage.states(), ['state-1', 'state-2']);
    await storage.removeState('state-1');
    await storage.removeState('state-1');
    assert.deepEqual(await storage.states(), ['state-2']);
    await assert.rejects(storage.removeState('state-2'));
    const again = await openMetaStorage(join(root, 'meta'));
    assert.equal(await again.current(), 'state-2');
  });

  it('refuses a CURRENT that names nothing', async () => {
    const directory = join(root, 'bad-current');
    const storage = await openMetaStorage(directory);
    await writeFile(join(directory, 'CURRENT'), '../elsewhere\n');
    await assert.rejects(storage.current(), /does not name a state/);
  });
});

describe('a byte of a table that has changed on the disk', () => {
  /** Does not compress, so that it can be found. */
  const content = seededRandom(1).bytes(600);
  const range = { gte: key('a'), lt: key('z') };

  /** A store of three rows in a table, of which the middle one is damaged. */
  async function damaged(directory: string, options: RocksKvOptions): Promise<KvStore> {
    const store = await openRocksKv(directory, options);
    const values = [key('1'), content, key('3')];
    const rows = values.map((value, at) => ({ type: 'put' as const, key: key('klm'[at] ?? ''), value }));
    await store.write(rows, { sync: true });
    await store.close();
    // What is in its log becomes a table.
    await (await openRocksKv(directory, options)).close();
    assert.equal(await flipInTables(directory, content.subarray(200, 300)), 1);
    return await openRocksKv(directory, options);
  }

  async function read(store: KvStore): Promise<string[]> {
    const keys: string[] = [];
    for await (const [name] of store.scan(range)) keys.push(String.fromCharCode(...name));
    return keys;
  }

  it('is not noticed by a scan of plain rows, which must not put it where single reads find it', async () => {
    const store = await damaged(join(root, 'flip-plain'), { scansFillCache: false });
    assert.deepEqual(await read(store), ['k', 'l', 'm']);
    await assert.rejects(store.get(key('l')), StoreUnusableError);
    await store.close();
  });

  it('is noticed by every read of sealed rows, and told to the owner', async () => {
    const told: KvDamagedError[] = [];
    const options = { sealed: true, onDamaged: (error: KvDamagedError) => void told.push(error) };
    const store = await damaged(join(root, 'flip-sealed'), options);
    await assert.rejects(
      read(store),
      (error) =>
        error instanceof KvDamagedError &&
        /the row 6c in .*flip-sealed is not what was written/.test(error.message),
    );
    assert.equal(told.length, 1);
    await assert.rejects(store.get(key('l')), KvDamagedError);
    await assert.rejects(store.getMany([key('k'), key('l')]), KvDamagedError);
    assert.equal(told.length, 3);
    await store.close();
  });

  it('of a state of the version before is noticed by reads of single rows', async () => {
    const directory = join(root, 'old-state');
    const storage = await openMetaStorage(directory);
    const old = await damaged(join(directory, 'state-1'), {});
    await old.close();
    await writeFile(join(directory, 'CURRENT'), 'state-1\n');
    assert.equal(await storage.current(), 'state-1');
    const state = await storage.openState('state-1');
    assert.deepEqual(await read(state), ['k', 'l', 'm']);
    await assert.rejects(state.get(key('l')), /corrupt/);
    await state.close();
    const next = await storage.openState('state-2');
    await next.close();
    await storage.switchTo('state-2');
    assert.equal(await readFile(join(directory, 'CURRENT'), 'utf8'), 'rows-2\n');
    assert.deepEqual(await storage.states(), ['state-1', 'state-2']);
    await storage.removeState('state-1');
    assert.equal(await storage.current(), 'state-2');
    assert.ok(!(await readdir(directory)).includes('state-1'));
  });
});
