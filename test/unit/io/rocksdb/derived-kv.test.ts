import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type DerivedKv, openDerivedKv } from '../../../../src/io/rocksdb/derived-kv.ts';
import { openRocksKv } from '../../../../src/io/rocksdb/rocks-kv.ts';
import { flipByte } from '../../../support/flip-byte.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'derived-'));
});
afterEach(() => rm(root, { recursive: true }));

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const ALL = { gte: bytes('a'), lt: bytes('z') };
const directory = (): string => path.join(root, 'index');

async function open(): Promise<{ kv: DerivedKv; reasons: string[] }> {
  const reasons: string[] = [];
  const onDamaged = (reason: string): void => void reasons.push(reason);
  return { kv: await openDerivedKv(directory(), { logger: new RecordingLogger(), onDamaged }), reasons };
}

/** Twice: the first log becomes a table. */
async function fill(): Promise<void> {
  for (const key of ['b', 'c']) {
    const { kv } = await open();
    await kv.write([{ type: 'put', key: bytes(key), value: bytes(key.repeat(3000)) }], { sync: true });
    await kv.close();
  }
}

async function fileLike(pattern: RegExp): Promise<string> {
  const name = (await readdir(directory())).find((other) => pattern.test(other));
  assert.ok(name !== undefined, `${pattern}`);
  return path.join(directory(), name);
}

describe('a store of derived rows', () => {
  it('keeps what it has when nothing is wrong', async () => {
    await fill();
    const { kv, reasons } = await open();
    assert.equal((await kv.get(bytes('b')))?.length, 3000);
    assert.deepEqual(reasons, []);
    assert.ok(!existsSync(`${directory()}.damaged`));
    await kv.close();
  });

  it('begins anew when it cannot be opened, and sets aside what there was', async () => {
    await fill();
    await writeFile(path.join(directory(), 'CURRENT'), 'MANIFEST-999999\n');
    const { kv } = await open();
    assert.equal(await kv.get(bytes('b')), undefined);
    assert.ok(existsSync(path.join(`${directory()}.damaged`, 'CURRENT')));
    await kv.close();
    await truncate(await fileLike(/^MANIFEST/), 5);
    const again = await open();
    assert.equal(await again.kv.get(bytes('b')), undefined);
    await again.kv.close();
  });

  it('tells of damage that it meets later, and the next start begins anew', async () => {
    await fill();
    const table = await fileLike(/\.sst$/);
    for (let at = 0; at < (await stat(table)).size / 2; at += 50) await flipByte(table, at);
    const { kv, reasons } = await open();
    const scan = async (): Promise<void> => {
      for await (const _ of kv.scan(ALL));
    };
    await assert.rejects(scan(), { name: 'StoreUnusableError' });
    await assert.rejects(kv.get(bytes('b')), { name: 'StoreUnusableError' });
    assert.equal(reasons.length, 1, 'once');
    await kv.close();
    const next = await open();
    assert.equal(await next.kv.get(bytes('b')), undefined);
    await next.kv.write([{ type: 'put', key: bytes('b'), value: bytes('new') }], { sync: true });
    await next.kv.close();
    const last = await open();
    assert.equal((await last.kv.get(bytes('b')))?.length, 3, 'the mark is gone');
    await last.kv.close();
  });

  it('begins anew when two processes in a row died while they opened it', async () => {
    await fill();
    const mark = `${directory()}.opening`;
    await writeFile(mark, '1\n');
    const once = await open();
    assert.equal((await once.kv.get(bytes('b')))?.length, 3000, 'one death may be chance');
    assert.ok(existsSync(mark), 'it has not been read yet');
    await once.kv.close();
    assert.ok(!existsSync(mark));
    await writeFile(mark, '2\n');
    const anew = await open();
    assert.equal(await anew.kv.get(bytes('b')), undefined);
    await anew.kv.opened();
    assert.ok(!existsSync(mark));
    await anew.kv.close();
  });

  it('does not take a store that is in use for a damaged one', async () => {
    await fill();
    const holder = await openRocksKv(directory());
    for (let i = 0; i < 4; i++) await assert.rejects(open(), /in use by another process/);
    assert.ok(!existsSync(`${directory()}.damaged`));
    await holder.close();
  });
});
