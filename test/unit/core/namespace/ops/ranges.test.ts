/** fallocate and copy_file_range in the state machine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CHUNK_SIZE_BYTES,
  COPY_CHUNKS_PER_COMMIT_MAX,
  COPY_EXTENTS_PER_COMMIT_MAX,
  COPY_INLINE_BYTES_PER_COMMIT_MAX,
  EXTENTS_PER_CHUNK_MAX,
  FILE_SIZE_BYTES_MAX,
  INLINE_FILE_BYTES_MAX,
} from '../../../../../src/base/limits.ts';
import { blockKey, COUNTERS_KEY, chunkKey } from '../../../../../src/core/namespace/keys.ts';
import { nextChunks } from '../../../../../src/core/namespace/read.ts';
import { BLOCK, CHUNK, COUNTERS } from '../../../../../src/core/namespace/rows.ts';
import type { Extent, Op } from '../../../../../src/gen/ringfs/v1/namespace.ts';
import { NamespaceFixture } from '../../../../support/namespace-fixture.ts';
import {
  append,
  block,
  blockId,
  copyRange,
  FIFO,
  fallocate,
  inline,
  makeNode,
  mkdir,
  mkfile,
  punch,
  REG,
  truncate,
  write,
} from '../../../../support/namespace-ops.ts';

function extents(fs: NamespaceFixture, ino: number, index = 0): Extent[] {
  const value = fs.machine.store.getSync(chunkKey(ino, index));
  return value === undefined ? [] : CHUNK.decode(value).extents;
}

function refs(fs: NamespaceFixture, label: string): number {
  const value = fs.machine.store.getSync(blockKey(blockId(label)));
  return value === undefined ? 0 : BLOCK.decode(value).refs;
}

/** What the rows say of an inode agrees with its extents, and the counters with all inodes given. */
function checkAllocation(fs: NamespaceFixture, ...inos: number[]): void {
  let all = 0;
  for (const ino of inos) {
    let bytes = 0;
    const { size, allocatedBytes } = fs.attr(ino);
    for (let chunk = 0; chunk * CHUNK_SIZE_BYTES < Math.min(size, 200 * CHUNK_SIZE_BYTES); chunk++) {
      for (const extent of extents(fs, ino, chunk)) {
        bytes += extent.length;
        assert.ok(extent.offset + extent.length <= size, 'no extent reaches beyond the size');
      }
    }
    assert.equal(allocatedBytes, bytes, `allocated bytes of ${ino}`);
    all += bytes;
  }
  assert.equal(COUNTERS.decode(fs.machine.store.getSync(COUNTERS_KEY)!).allocatedBytes, all);
}

test('fallocate grows the file by a hole, or only says when it was', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(write(f, [block(0, 100, 'a')]));
  fs.now = 2000;
  const before = fs.attr(f);
  fs.ok(fallocate(f, 50, 1000, { keepSize: true }));
  assert.deepEqual([fs.attr(f).size, fs.attr(f).mtimeSec, fs.attr(f).ctimeSec], [100, 2000, 2000]);
  assert.equal(fs.attr(f).dataVersion, before.dataVersion, 'nothing that was read has changed');
  fs.ok(fallocate(f, 20, 30));
  assert.equal(fs.attr(f).size, 100, 'it never shrinks');
  fs.ok(fallocate(f, 50, 1000));
  assert.equal(fs.attr(f).size, 1050);
  assert.ok(fs.attr(f).dataVersion > before.dataVersion);
  assert.deepEqual(extents(fs, f), [block(0, 100, 'a')]);
  checkAllocation(fs, f);
});

test('fallocate makes zeros within the file and behind its end', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(makeNode(1, 'f', REG | 0o6755));
  fs.ok(write(f, [block(0, 100, 'a'), inline(100, 'hello')]));
  fs.ok(fallocate(f, 40, 20, { punch: true, clearSuidSgid: true }));
  assert.equal(fs.attr(f).mode, REG | 0o755);
  assert.deepEqual(extents(fs, f), [
    block(0, 40, 'a', 0, 100),
    block(60, 40, 'a', 60, 100),
    inline(100, 'hello'),
  ]);
  assert.equal(refs(fs, 'a'), 2);
  fs.ok(fallocate(f, 102, 50, { punch: true, keepSize: true }));
  assert.deepEqual([fs.attr(f).size, extents(fs, f).at(-1)], [105, inline(100, 'he')]);
  fs.ok(fallocate(f, 102, 50, { punch: true }));
  assert.equal(fs.attr(f).size, 152);
  fs.ok(fallocate(f, 0, 2 ** 40, { punch: true }));
  assert.deepEqual([fs.attr(f).size, fs.attr(f).allocatedBytes, refs(fs, 'a')], [2 ** 40, 0, 0]);
  checkAllocation(fs, f);
});

test('a copy refers to the same blocks, cut to the range, and keeps holes', () => {
  const fs = new NamespaceFixture();
  const [f, g] = [fs.ino(mkfile(1, 'f')), fs.ino(makeNode(1, 'g', REG | 0o4755))];
  fs.ok(write(f, [block(10, 90, 'a', 0, 90), inline(150, 'hello')]), truncate(f, 400));
  fs.ok(write(g, [block(0, 1000, 'b')]));
  fs.now = 3000;
  const source = fs.attr(f);
  const ok = fs.ok(copyRange(f, 20, g, 500, 300, { clearSuidSgid: true }));
  assert.deepEqual(ok.results, [{ ino: g, offset: 500, length: 300 }]);
  assert.deepEqual(
    ok.touched.map((t) => t.attr?.ino),
    [g],
    'the source is not changed',
  );
  assert.deepEqual(fs.attr(f), source);
  assert.deepEqual(extents(fs, g), [
    block(0, 500, 'b', 0, 1000),
    block(500, 80, 'a', 10, 90),
    inline(630, 'hello'),
    block(800, 200, 'b', 800, 1000),
  ]);
  assert.deepEqual([refs(fs, 'a'), refs(fs, 'b')], [2, 2]);
  const attr = fs.attr(g);
  assert.deepEqual([attr.size, attr.mtimeSec, attr.ctimeSec, attr.mode], [1000, 3000, 3000, REG | 0o755]);
  checkAllocation(fs, f, g);
});

test('a copy cuts inline bytes and ends where the source ends', () => {
  const fs = new NamespaceFixture();
  const [f, g] = [fs.ino(mkfile(1, 'f')), fs.ino(mkfile(1, 'g'))];
  fs.ok(write(f, [inline(0, 'hello world')]));
  assert.equal(fs.ok(copyRange(f, 6, g, 3, 1000)).results[0]?.length, 5);
  assert.deepEqual([fs.attr(g).size, extents(fs, g)], [8, [inline(3, 'world')]]);
  const before = fs.attr(g);
  for (const from of [11, 500]) assert.equal(fs.ok(copyRange(f, from, g, 0, 10)).results[0]?.length, 0);
  assert.deepEqual(fs.attr(g), before, 'nothing to copy changes nothing');
  // A hole at the end of the source makes the destination as long.
  fs.ok(truncate(f, 100));
  assert.equal(fs.ok(copyRange(f, 50, g, 0, 80)).results[0]?.length, 50);
  assert.deepEqual([fs.attr(g).size, fs.attr(g).allocatedBytes], [50, 0]);
  checkAllocation(fs, f, g);
});

test('a copy within one file', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(write(f, [block(0, 100, 'a')]));
  assert.equal(fs.errno(copyRange(f, 0, f, 99, 100)), 'EINVAL');
  assert.equal(fs.errno(copyRange(f, 50, f, 0, 51)), 'ok', 'only 50 bytes are there to be copied');
  assert.deepEqual(extents(fs, f), [block(0, 50, 'a', 50, 100), block(50, 50, 'a', 50, 100)]);
  assert.equal(fs.ok(copyRange(f, 0, f, 100, 100)).results[0]?.length, 100);
  assert.deepEqual([fs.attr(f).size, refs(fs, 'a')], [200, 4]);
  checkAllocation(fs, f);
});

test('a copy across chunk boundaries that lie elsewhere in the two files', () => {
  const fs = new NamespaceFixture({ cacheBytesMax: 0 });
  const [f, g] = [fs.ino(mkfile(1, 'f')), fs.ino(mkfile(1, 'g'))];
  const label = (i: number): string => `b${i}`;
  const size = 1024;
  for (let i = 0; i < 8; i++)
    fs.ok(write(f, [block(i * CHUNK_SIZE_BYTES - size * (i > 0 ? 1 : 0), 2 * size, label(i))]));
  fs.ok(write(g, [block(2 * CHUNK_SIZE_BYTES, size, 'old'), block(20 * CHUNK_SIZE_BYTES, size, 'kept')]));
  const shift = 12_345;
  const length = fs.attr(f).size;
  assert.equal(fs.ok(copyRange(f, 0, g, shift, length)).results[0]?.length, length);
  const bytesOf = (ino: number, by: number): string[] => {
    const out: string[] = [];
    for (let chunk = 0; chunk < 10; chunk++) {
      for (const e of extents(fs, ino, chunk)) {
        for (let at = 0; at < e.length; at += 512) {
          out.push(`${e.offset + at - by}=${e.blockId[0]}:${e.blockOffset + at}`);
        }
      }
    }
    return out;
  };
  // Cut at other places, but the same bytes at the same offsets wherever both have one.
  const copied = new Set(bytesOf(g, shift));
  const same = bytesOf(f, 0).filter((line) => copied.has(line));
  assert.ok(same.length >= 8 * 4 - 8, `${same.length} of the samples`);
  assert.equal(fs.attr(g).allocatedBytes, fs.attr(f).allocatedBytes + size);
  assert.equal(refs(fs, 'old'), 0);
  assert.equal(refs(fs, 'kept'), 1);
  checkAllocation(fs, f, g);
});

test('one copy changes a bounded number of rows, and going on copies the rest', () => {
  const fs = new NamespaceFixture();
  const [f, g, h] = [fs.ino(mkfile(1, 'f')), fs.ino(mkfile(1, 'g')), fs.ino(mkfile(1, 'h'))];
  // More extents than one copy may carry.
  const many = COPY_EXTENTS_PER_COMMIT_MAX + 10;
  fs.ok(
    write(
      f,
      Array.from({ length: many }, (_, i) => block(i * 10, 5, i)),
    ),
  );
  const first = fs.ok(copyRange(f, 0, g, 0, many * 10)).results[0]!.length!;
  assert.equal(first, COPY_EXTENTS_PER_COMMIT_MAX * 10);
  fs.ok(copyRange(f, first, g, first, many * 10));
  assert.deepEqual(extents(fs, g), extents(fs, f));
  // More chunks, in the source and in the destination.
  const chunks = COPY_CHUNKS_PER_COMMIT_MAX + 30;
  for (let i = 0; i < chunks; i++) fs.ok(write(h, [block(i * CHUNK_SIZE_BYTES, 100, `h${i}`)]));
  const size = fs.attr(h).size;
  assert.equal(
    fs.ok(copyRange(h, 0, g, 0, size)).results[0]?.length,
    COPY_CHUNKS_PER_COMMIT_MAX * CHUNK_SIZE_BYTES,
  );
  fs.ok(truncate(f, 0), truncate(f, size));
  const cleared = fs.ok(copyRange(f, 0, h, 0, size)).results[0]!.length!;
  assert.equal(cleared, (COPY_CHUNKS_PER_COMMIT_MAX + 1) * CHUNK_SIZE_BYTES);
  assert.equal(fs.ok(copyRange(f, cleared, h, cleared, size)).results[0]?.length, size - cleared);
  assert.equal(fs.attr(h).allocatedBytes, 0);
  checkAllocation(fs, f, g, h);
});

test('inline bytes of a copy are bounded too', () => {
  const fs = new NamespaceFixture();
  const [f, g] = [fs.ino(mkfile(1, 'f')), fs.ino(mkfile(1, 'g'))];
  const full = new Uint8Array(INLINE_FILE_BYTES_MAX).fill(7);
  const count = COPY_INLINE_BYTES_PER_COMMIT_MAX / INLINE_FILE_BYTES_MAX;
  for (let i = 0; i < count; i++) fs.ok(append(f, [inline(0, full)]));
  fs.ok(write(f, [inline(CHUNK_SIZE_BYTES, full)]));
  const first = fs.ok(copyRange(f, 0, g, 0, FILE_SIZE_BYTES_MAX)).results[0]!.length!;
  assert.equal(first, CHUNK_SIZE_BYTES, 'the second chunk is left for the next copy');
  assert.equal(
    fs.ok(copyRange(f, first, g, first, FILE_SIZE_BYTES_MAX)).results[0]?.length,
    INLINE_FILE_BYTES_MAX,
  );
  checkAllocation(fs, f, g);
});

test('what fallocate and copies refuse', () => {
  const fs = new NamespaceFixture();
  const [f, g] = [fs.ino(mkfile(1, 'f')), fs.ino(mkfile(1, 'g'))];
  const d = fs.ino(mkdir(1, 'd'));
  const p = fs.ino(makeNode(1, 'p', FIFO | 0o600));
  fs.ok(write(f, [block(0, 100, 'a')]));
  const cases: [Op, string][] = [
    [fallocate(d, 0, 1), 'EISDIR'],
    [fallocate(p, 0, 1), 'EINVAL'],
    [fallocate(99, 0, 1), 'ESTALE'],
    [fallocate(f, 0, 0), 'EINVAL'],
    [fallocate(f, 1, FILE_SIZE_BYTES_MAX), 'EFBIG'],
    [punch(f, FILE_SIZE_BYTES_MAX, 1), 'EFBIG'],
    [copyRange(d, 0, f, 0, 1), 'EISDIR'],
    [copyRange(f, 0, p, 0, 1), 'EINVAL'],
    [copyRange(99, 0, f, 0, 1), 'ESTALE'],
    [copyRange(f, 0, 99, 0, 1), 'ESTALE'],
    [copyRange(f, 0, g, FILE_SIZE_BYTES_MAX, 1), 'EFBIG'],
    [copyRange(f, 0, f, 0, 1), 'EINVAL'],
  ];
  for (const [op, errno] of cases) assert.equal(fs.errno(op), errno, JSON.stringify(op.body));
  const last = fs.ok(copyRange(f, 0, g, FILE_SIZE_BYTES_MAX - 10, 100)).results[0];
  assert.equal(last?.length, 10, 'as much as a file may hold');
});

test('a copy into a chunk that has too many extents already is refused as a whole', () => {
  const fs = new NamespaceFixture();
  const [f, g] = [fs.ino(mkfile(1, 'f')), fs.ino(mkfile(1, 'g'))];
  fs.ok(write(f, [block(0, 5, 'a'), block(10, 5, 'b')]));
  const gap = Array.from({ length: EXTENTS_PER_CHUNK_MAX - 1 }, (_, i) => block(i * 10, 5, i));
  fs.ok(write(g, gap));
  assert.equal(fs.errno(copyRange(f, 0, g, EXTENTS_PER_CHUNK_MAX * 10, 100)), 'E2BIG');
});

test('the next chunk of a sparse file is found without looking at the hole', async () => {
  const fs = new NamespaceFixture();
  const [f, g] = [fs.ino(mkfile(1, 'f')), fs.ino(mkfile(1, 'g'))];
  fs.ok(write(f, [block(0, 1, 'a'), block(2 ** 45, 1, 'b')]), write(g, [block(0, 1, 'a')]));
  const find = async (first: number) =>
    (await nextChunks(fs.machine.store, f, first, 1)).chunks.map((chunk) => chunk.index);
  const far = 2 ** 45 / CHUNK_SIZE_BYTES;
  assert.deepEqual(
    [await find(0), await find(1), await find(far), await find(far + 1)],
    [[0], [far], [far], []],
  );
});
