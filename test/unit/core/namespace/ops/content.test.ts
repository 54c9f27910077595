import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BLOCK_SIZE_BYTES_MAX,
  CHUNK_SIZE_BYTES,
  EXTENTS_PER_CHUNK_MAX,
  FILE_SIZE_BYTES_MAX,
  INLINE_BYTES_PER_CHUNK_MAX,
  INLINE_FILE_BYTES_MAX,
} from '../../../../../src/base/limits.ts';
import { blockKey, chunkKey, TABLE, tableRange } from '../../../../../src/core/namespace/keys.ts';
import { BLOCK, CHUNK } from '../../../../../src/core/namespace/rows.ts';
import type { Extent, Op } from '../../../../../src/gen/ringfs/v1/namespace.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import {
  append,
  block,
  blockId,
  FIFO,
  inline,
  makeNode,
  mkdir,
  mkfile,
  punch,
  REG,
  truncate,
  unlink,
  write,
} from '../../../../support/namespace-ops.ts';

function chunk(fs: NamespaceFixture, ino: number, index: number): Extent[] | undefined {
  const value = fs.machine.store.getSync(chunkKey(ino, index));
  return value === undefined ? undefined : CHUNK.decode(value).extents;
}

function refs(fs: NamespaceFixture, label: string): number | undefined {
  const value = fs.machine.store.getSync(blockKey(blockId(label)));
  return value === undefined ? undefined : BLOCK.decode(value).refs;
}

const rowsOf = (fs: NamespaceFixture, table: number): number =>
  fs.machine.store.scanSync(tableRange(table)).length;

test('a write stores extents, grows the file and counts references', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.now = 2000;
  fs.ok(write(f, [block(10, 100, 'a'), inline(200, 'hello')]));
  assert.deepEqual(chunk(fs, f, 0), [block(10, 100, 'a'), inline(200, 'hello')]);
  const attr = fs.attr(f);
  assert.deepEqual([attr.size, attr.allocatedBytes, attr.mtimeSec, attr.ctimeSec], [205, 105, 2000, 2000]);
  assert.equal(attr.dataVersion, attr.version);
  assert.equal(refs(fs, 'a'), 1);
  fs.ok(write(f, [inline(50, 'x')]));
  assert.equal(refs(fs, 'a'), 2, 'a block split by an overwrite is referred to twice');
  fs.ok(write(f, [block(0, 300, 'b')]));
  assert.equal(refs(fs, 'a'), 0);
  assert.deepEqual(chunk(fs, f, 0), [block(0, 300, 'b')]);
});

test('appends go to the end as it is when they are applied', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const ok = fs.ok(append(f, [inline(0, 'ab')]), append(f, [inline(0, 'cd'), inline(3, 'e')]));
  assert.deepEqual(
    ok.results.map((r) => r.offset),
    [0, 2],
  );
  assert.equal(fs.attr(f).size, 6);
  assert.deepEqual(chunk(fs, f, 0), [inline(0, 'abcd'), inline(5, 'e')]);
});

test('compaction changes neither size nor times, and drops what lies beyond the end', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(write(f, [inline(0, 'abc'), block(3, 97, 'a')]));
  fs.ok(truncate(f, 50));
  const before = fs.attr(f);
  fs.now = 5000;
  fs.ok(write(f, [block(0, 100, 'b')], { keepSize: true, keepTimes: true }));
  const attr = fs.attr(f);
  assert.deepEqual([attr.size, attr.allocatedBytes, attr.mtimeSec, attr.ctimeSec], [50, 50, 1000, 1000]);
  assert.ok(attr.dataVersion > before.dataVersion, 'the layout is another one');
  assert.deepEqual(chunk(fs, f, 0), [block(0, 50, 'b', 0, 100)]);
});

test('a write may clear set-ID bits', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(makeNode(1, 'f', REG | 0o6755));
  fs.ok(write(f, [inline(0, 'a')], { clearSuidSgid: true }));
  assert.equal(fs.attr(f).mode, REG | 0o755);
});

test('extents over chunk boundaries are stored in pieces', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(write(f, [block(CHUNK_SIZE_BYTES - 10, 30, 'a')]));
  assert.deepEqual(chunk(fs, f, 0), [block(CHUNK_SIZE_BYTES - 10, 10, 'a', 0, 30)]);
  assert.deepEqual(chunk(fs, f, 1), [block(CHUNK_SIZE_BYTES, 20, 'a', 10, 30)]);
  assert.equal(refs(fs, 'a'), 2);
});

test('a hole frees what it covers, in every chunk, and only that', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(
    write(f, [block(0, 100, 'a'), block(CHUNK_SIZE_BYTES, 100, 'b'), block(5 * CHUNK_SIZE_BYTES, 100, 'c')]),
  );
  fs.now = 2000;
  fs.ok(punch(f, 50, 5 * CHUNK_SIZE_BYTES));
  assert.deepEqual(chunk(fs, f, 0), [block(0, 50, 'a', 0, 100)]);
  assert.equal(chunk(fs, f, 1), undefined);
  assert.deepEqual(chunk(fs, f, 5), [block(5 * CHUNK_SIZE_BYTES + 50, 50, 'c', 50, 100)]);
  const attr = fs.attr(f);
  assert.deepEqual([attr.size, attr.allocatedBytes, attr.mtimeSec], [5 * CHUNK_SIZE_BYTES + 100, 100, 2000]);
  fs.ok(punch(f, 0, FILE_SIZE_BYTES_MAX));
  assert.deepEqual(
    [fs.attr(f).allocatedBytes, rowsOf(fs, TABLE.chunk), rowsOf(fs, TABLE.chunkPage)],
    [0, 0, 0],
  );
});

test('truncating a huge sparse file costs what it holds', () => {
  const fs = new NamespaceFixture({ cacheBytesMax: 0 });
  const f = fs.ino(mkfile(1, 'f'));
  const offsets = [0, CHUNK_SIZE_BYTES * 3, 2 ** 40, 2 ** 45 + 5, FILE_SIZE_BYTES_MAX - 100];
  for (const offset of offsets) fs.ok(write(f, [block(offset, 100, `at ${offset}`)]));
  assert.equal(fs.attr(f).size, FILE_SIZE_BYTES_MAX);
  assert.equal(rowsOf(fs, TABLE.chunk), 5);
  assert.equal(rowsOf(fs, TABLE.chunkPages), 1);
  fs.ok(truncate(f, 2 ** 45 + 50));
  assert.deepEqual([fs.attr(f).allocatedBytes, rowsOf(fs, TABLE.chunk)], [345, 4]);
  fs.ok(truncate(f, 1));
  assert.deepEqual([fs.attr(f).allocatedBytes, rowsOf(fs, TABLE.chunk)], [1, 1]);
  assert.deepEqual([rowsOf(fs, TABLE.chunkPage), rowsOf(fs, TABLE.chunkPages)], [0, 0]);
  fs.ok(truncate(f, FILE_SIZE_BYTES_MAX), truncate(f, 0));
  assert.deepEqual([fs.attr(f).allocatedBytes, rowsOf(fs, TABLE.chunk)], [0, 0]);
});

test('growing after a truncation shows a hole, not the old bytes', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(write(f, [block(0, 100, 'a')]), truncate(f, 30), truncate(f, 100));
  assert.deepEqual(chunk(fs, f, 0), [block(0, 30, 'a', 0, 100)]);
});

test('create and write in one commit', () => {
  const fs = new NamespaceFixture();
  const ok = fs.ok(mkfile(1, 'f'), write(Number.MAX_SAFE_INTEGER, [inline(0, 'hello')]));
  const ino = ok.results[0]!.ino;
  assert.equal(ok.results[1]?.ino, ino);
  assert.deepEqual(chunk(fs, ino, 0), [inline(0, 'hello')]);
  assert.deepEqual(
    ok.touched.map((t) => [t.attr?.ino, t.attr?.size]),
    [
      [ino, 5],
      [1, 1],
    ],
  );
});

test('what content ops refuse', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const d = fs.ino(mkdir(1, 'd'));
  const p = fs.ino(makeNode(1, 'p', FIFO | 0o600));
  fs.ok(write(f, [block(0, 100, 'a')]));
  const short = { ...block(0, 10, 'x'), blockId: new Uint8Array(31) };
  const big = BLOCK_SIZE_BYTES_MAX + 1;
  const cases: [Op, string][] = [
    [write(d, [inline(0, 'a')]), 'EISDIR'],
    [write(p, [inline(0, 'a')]), 'EINVAL'],
    [append(d, [inline(0, 'a')]), 'EISDIR'],
    [punch(d, 0, 1), 'EISDIR'],
    [punch(f, 0, 0), 'EINVAL'],
    [write(99, [inline(0, 'a')]), 'ESTALE'],
    [write(f, [inline(0, '')]), 'EINVAL'],
    [write(f, [{ ...inline(0, 'abc'), length: 2 }]), 'EINVAL'],
    [write(f, [{ ...inline(0, 'abc'), blockLength: 2 }]), 'EINVAL'],
    [write(f, [inline(0, new Uint8Array(INLINE_FILE_BYTES_MAX + 1))]), 'EINVAL'],
    [write(f, [short]), 'EINVAL'],
    [write(f, [{ ...block(0, 10, 'x'), inline: new Uint8Array(10) }]), 'EINVAL'],
    [write(f, [block(0, 10, 'x', 5, 14)]), 'EINVAL'],
    [write(f, [block(0, 10, 'x', 0, big)]), 'EINVAL'],
    [write(f, [block(0, 10, 'a', 0, 99)]), 'EINVAL'],
    [write(f, [block(0, 10, 'x', 0, 10), block(20, 10, 'x', 0, 11)]), 'EINVAL'],
    [write(f, [block(0, 10, 'x'), block(9, 10, 'y')]), 'EINVAL'],
    [write(f, [block(20, 10, 'x'), block(0, 10, 'y')]), 'EINVAL'],
    [write(f, [block(FILE_SIZE_BYTES_MAX - 5, 6, 'x')]), 'EFBIG'],
    [write(f, [block(Number.MAX_SAFE_INTEGER - 5, 6, 'x')]), 'EFBIG'],
    [append(f, [block(FILE_SIZE_BYTES_MAX - 100, 1, 'x')]), 'EFBIG'],
    [write(f, [inline(0, 'a')], { mtime: { sec: 0, nsec: 2_000_000_000 } }), 'EINVAL'],
  ];
  for (const [op, errno] of cases) assert.equal(fs.errno(op), errno, JSON.stringify(op.body));
});

test('a chunk row does not grow without bound', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const step = 10;
  const extents = Array.from({ length: EXTENTS_PER_CHUNK_MAX }, (_, i) => block(i * step, 5, 'a'));
  fs.ok(write(f, extents));
  assert.equal(fs.errno(write(f, [block(EXTENTS_PER_CHUNK_MAX * step, 5, 'a')])), 'E2BIG');
  assert.equal(fs.errno(write(f, [block(0, EXTENTS_PER_CHUNK_MAX * step, 'b')])), 'ok');
  const g = fs.ino(mkfile(1, 'g'));
  const full = new Uint8Array(INLINE_FILE_BYTES_MAX).fill(1);
  const pieces = INLINE_BYTES_PER_CHUNK_MAX / INLINE_FILE_BYTES_MAX;
  for (let i = 0; i < pieces; i++) fs.ok(append(g, [inline(0, full)]));
  assert.equal(fs.errno(append(g, [inline(0, 'x')])), 'E2BIG');
  assert.equal(fs.errno(write(g, [block(0, 1000, 'c')])), 'ok');
});

test('an open, unlinked file is written, and then reaped in bounded steps', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(unlink(1, 'f'));
  for (let i = 1; i <= 5; i++) fs.ok(write(f, [block(i * CHUNK_SIZE_BYTES, 100, 'a')]));
  assert.equal(fs.attr(f).allocatedBytes, 500);
  const left: number[] = [];
  do {
    left.push(fs.reap(f, 2).value);
    const rows = rowsOf(fs, TABLE.chunk);
    assert.equal(refs(fs, 'a'), rows);
    if (fs.exists(f)) assert.equal(fs.attr(f).allocatedBytes, rows * 100);
  } while (left.at(-1)! > 0);
  assert.equal(left.length, 3);
  assert.equal(fs.exists(f), false);
  assert.equal(rowsOf(fs, TABLE.chunk) + rowsOf(fs, TABLE.chunkPage) + rowsOf(fs, TABLE.orphan), 0);
  assert.equal(fs.reap(f).value, 0, 'reaping again does nothing');
});
