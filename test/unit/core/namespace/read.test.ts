import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_SIZE_BYTES } from '../../../../src/base/limits.ts';
import {
  getattr,
  getChunks,
  knownBlocks,
  listOrphans,
  lookup,
  readCounters,
  readdir,
} from '../../../../src/core/namespace/read.ts';
import type { RowSource } from '../../../../src/core/namespace/types.ts';
import { NamespaceFixture } from '../../../support/namespace-fixture.ts';
import {
  append,
  block,
  blockId,
  bytes,
  inline,
  mkdir,
  mkfile,
  text,
  unlink,
  write,
} from '../../../support/namespace-ops.ts';

const NOTHING = new Uint8Array(0);

/** A source that lets something happen before its n-th get. */
function disturbed(fs: NamespaceFixture, at: number, disturbance: () => void): RowSource {
  const { store } = fs.machine;
  let gets = 0;
  return {
    get: async (key) => {
      gets++;
      if (gets === at) disturbance();
      return store.get(key);
    },
    getMany: (keys) => store.getMany(keys),
    scan: (range) => store.scan(range),
  };
}

test('lookup answers with the inode and the directory that dates it', async () => {
  const fs = new NamespaceFixture();
  const { store } = fs.machine;
  const f = fs.ino(mkfile(1, 'f'));
  const found = await lookup(store, 1, bytes('f'));
  assert.deepEqual([found.attr?.ino, found.parentAttr.ino], [f, 1]);
  assert.equal((await lookup(store, 1, bytes('g'))).attr, undefined);
  await assert.rejects(lookup(store, f, bytes('g')), { code: 'ENOTDIR' });
  await assert.rejects(lookup(store, 99, bytes('g')), { code: 'ESTALE' });
  await assert.rejects(getattr(store, 99), { code: 'ESTALE' });
});

test('an entry removed during a lookup is found or not, but never half', async () => {
  for (const reap of [true, false]) {
    const fs = new NamespaceFixture();
    const f = fs.ino(mkfile(1, 'f'));
    const source = disturbed(fs, 3, () => {
      fs.ok(unlink(1, 'f'));
      if (reap) fs.reap(f);
    });
    const answer = await lookup(source, 1, bytes('f'));
    assert.equal(answer.attr, undefined);
    assert.equal(answer.parentAttr.dataVersion, fs.attr(1).dataVersion);
  }
});

test('an answer that is newer than its date never carries the newer date', async () => {
  const fs = new NamespaceFixture();
  const dated = fs.attr(1).dataVersion;
  const source = disturbed(fs, 2, () => fs.ok(mkfile(1, 'f')));
  assert.equal((await lookup(source, 1, bytes('f'))).parentAttr.dataVersion, dated);
});

test('readdir pages through the names in byte order', async () => {
  const fs = new NamespaceFixture();
  const { store } = fs.machine;
  const d = fs.ino(mkdir(1, 'd'));
  const names = ['b', 'a', 'ab', 'ä', 'Z', '~', 'c', '.x'];
  for (const name of names) fs.ok(mkfile(d, name));
  fs.ok(mkdir(1, 'neighbour'));
  const seen: string[] = [];
  let after: Uint8Array = NOTHING;
  for (;;) {
    const page = await readdir(store, d, after, 3, false);
    seen.push(...page.entries.map((entry) => text(entry.name)));
    assert.equal(page.attr.ino, d);
    if (page.end) break;
    after = page.entries.at(-1)!.name;
  }
  assert.deepEqual(seen, ['.x', 'Z', 'a', 'ab', 'b', 'c', '~', 'ä']);
  const whole = await readdir(store, d, NOTHING, 8, true);
  assert.equal(whole.end, true);
  assert.deepEqual(
    whole.entries.map((entry) => [entry.attr?.ino, entry.type]),
    whole.entries.map((entry) => [entry.ino, 0o100000]),
  );
  assert.equal((await readdir(store, d, NOTHING, 7, false)).end, false);
  await assert.rejects(readdir(store, whole.entries[0]!.ino, NOTHING, 1, false), { code: 'ENOTDIR' });
});

test('getChunks gives the rows that exist, of the moment of the attributes', async () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(write(f, [block(0, 10, 'a'), block(2 * CHUNK_SIZE_BYTES, 10, 'b')]));
  const { chunks, attr } = await getChunks(fs.machine.store, f, 0, 3);
  assert.deepEqual(
    chunks.map((chunk) => chunk.index),
    [0, 2],
  );
  assert.equal(attr.size, 2 * CHUNK_SIZE_BYTES + 10);
  const source = disturbed(fs, 2, () => fs.ok(append(f, [inline(0, 'more')])));
  const later = await getChunks(source, f, 2, 1);
  assert.equal(later.attr.size, attr.size + 4);
  assert.equal(later.chunks[0]?.extents.length, 2);
});

test('orphans, counters and known blocks', async () => {
  const fs = new NamespaceFixture();
  const { store } = fs.machine;
  const inos = ['a', 'b', 'c'].map((name) => fs.ino(mkfile(1, name)));
  for (const [i, ino] of inos.entries()) fs.ok(write(ino, [block(0, 10 + i, `block ${i}`)]));
  fs.ok(unlink(1, 'a'), unlink(1, 'c'));
  const orphans = await listOrphans(store, 0, 10);
  assert.deepEqual(
    orphans.map((row) => [row.ino, row.type]),
    [
      [inos[0], 0o100000],
      [inos[2], 0o100000],
    ],
  );
  assert.equal((await listOrphans(store, inos[0]!, 10))[0]?.ino, inos[2]);
  fs.reap(inos[0]!);
  const { inodes, allocatedBytes } = await readCounters(store);
  assert.deepEqual([inodes, allocatedBytes], [3, 23]);
  const ids = ['block 0', 'block 1', 'block 2', 'none'].map(blockId);
  assert.deepEqual(await knownBlocks(store, ids), [false, true, true, false]);
});
