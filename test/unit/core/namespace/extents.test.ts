import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toBinary } from '../../../../src/base/bytes.ts';
import { CHUNK_SIZE_BYTES, INLINE_FILE_BYTES_MAX } from '../../../../src/base/limits.ts';
import {
  ExtentDelta,
  endOf,
  overwrite,
  punch,
  splitAtChunks,
} from '../../../../src/core/namespace/extents.ts';
import type { Extent } from '../../../../src/gen/ringfs/v1/namespace.ts';
import { block, inline } from '../../../support/namespace-ops.ts';

const FILE_BYTES = 200;
const BLOCK_BYTES = 64;

/** Content of the block called `label`: every byte of every block is told from every other. */
const byteOf = (label: number, at: number): string => `${label}:${at}`;

type Edit =
  | {
      readonly kind: 'block';
      readonly from: number;
      readonly length: number;
      readonly label: number;
      at: number;
    }
  | { readonly kind: 'inline'; readonly from: number; readonly length: number; readonly label: number }
  | { readonly kind: 'punch'; readonly from: number; readonly length: number };

const from = fc.nat(FILE_BYTES - 1);
const length = fc.integer({ min: 1, max: BLOCK_BYTES });
const label = fc.integer({ min: 1, max: 4 });
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc
    .record({
      kind: fc.constant('block' as const),
      from,
      length,
      label,
      at: fc.nat(BLOCK_BYTES - 1),
    })
    .map((e) => ({ ...e, length: Math.min(e.length, BLOCK_BYTES - e.at) })),
  fc.record({ kind: fc.constant('inline' as const), from, length, label }),
  fc.record({ kind: fc.constant('punch' as const), from, length }),
);

function contentOf(extents: readonly Extent[]): (string | undefined)[] {
  const out: (string | undefined)[] = new Array(FILE_BYTES + BLOCK_BYTES).fill(undefined);
  for (const e of extents) {
    for (let i = 0; i < e.length; i++) {
      const label = e.blockId.length === 0 ? e.inline[i]! : LABELS.get(toBinary(e.blockId))!;
      out[e.offset + i] = e.blockId.length === 0 ? `i${label}` : byteOf(label, e.blockOffset + i);
    }
  }
  return out;
}

const LABELS = new Map([1, 2, 3, 4].map((n) => [toBinary(block(0, 1, n).blockId), n]));

function references(extents: readonly Extent[]): Map<string, number> {
  const out = new Map<string, number>();
  for (const e of extents) {
    if (e.blockId.length > 0) out.set(toBinary(e.blockId), (out.get(toBinary(e.blockId)) ?? 0) + 1);
  }
  return out;
}

test('overwrite and punch do what an array of bytes does, and count references exactly', () => {
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 40 }), (edits) => {
      let list: readonly Extent[] = [];
      const model: (string | undefined)[] = new Array(FILE_BYTES + BLOCK_BYTES).fill(undefined);
      const refs = new Map<string, number>();
      let allocated = 0;
      for (const e of edits) {
        const delta = new ExtentDelta();
        const before = list;
        const frozen = JSON.stringify(list);
        const to = e.from + e.length;
        if (e.kind === 'punch') {
          list = punch(list, e.from, to, delta);
          model.fill(undefined, e.from, to);
        } else if (e.kind === 'inline') {
          const data = new Uint8Array(e.length).fill(e.label);
          list = overwrite(list, [inline(e.from, data)], delta);
          model.fill(`i${e.label}`, e.from, to);
        } else {
          list = overwrite(list, [block(e.from, e.length, e.label, e.at, BLOCK_BYTES)], delta);
          for (let i = 0; i < e.length; i++) model[e.from + i] = byteOf(e.label, e.at + i);
        }
        assert.equal(JSON.stringify(before), frozen, 'the old list is not changed');
        assert.equal(delta.conflict, false);
        allocated += delta.allocatedBytes;
        for (const [id, { refs: change }] of delta.blocks) {
          refs.set(id, (refs.get(id) ?? 0) + change);
          if (refs.get(id) === 0) refs.delete(id);
        }
        assert.deepEqual(contentOf(list), model);
        for (let i = 1; i < list.length; i++) assert.ok(endOf(list[i - 1]!) <= list[i]!.offset, 'disjoint');
        for (const x of list) {
          assert.equal(x.inline.length, x.blockId.length === 0 ? x.length : 0);
        }
      }
      assert.deepEqual(refs, references(list));
      assert.equal(allocated, model.filter((b) => b !== undefined).length);
    }),
    { numRuns: 500 },
  );
});

test('neighbours that continue in the same block become one extent', () => {
  const delta = new ExtentDelta();
  let list = overwrite([], [block(0, 100, 'a', 0, 300)], delta);
  list = overwrite(list, [block(200, 100, 'a', 200, 300)], delta);
  assert.equal(list.length, 2);
  list = overwrite(list, [block(100, 100, 'a', 100, 300)], delta);
  assert.deepEqual(list, [block(0, 300, 'a', 0, 300)]);
  assert.equal([...delta.blocks.values()][0]?.refs, 1);
  // The same block at another place in it is not a continuation.
  assert.equal(overwrite(list, [block(300, 10, 'a', 0, 300)], delta).length, 2);
});

test('inline neighbours are joined up to the inline limit', () => {
  const delta = new ExtentDelta();
  let list: readonly Extent[] = [];
  const piece = new Uint8Array(1000).fill(1);
  for (let i = 0; i < 20; i++) list = overwrite(list, [inline(i * 1000, piece)], delta);
  assert.ok(list.every((e) => e.length <= INLINE_FILE_BYTES_MAX));
  assert.equal(list.length, 3);
  assert.equal(delta.allocatedBytes, 20_000);
});

test('two lengths of one block are noticed', () => {
  const delta = new ExtentDelta();
  overwrite([block(0, 10, 'a', 0, 10)], [block(0, 10, 'a', 0, 20)], delta);
  assert.equal(delta.conflict, true);
});

test('extents are split where a chunk ends', () => {
  const chunks = splitAtChunks([
    block(0, 10, 'x'),
    block(CHUNK_SIZE_BYTES - 3, 10, 'a', 5, 100),
    inline(2 * CHUNK_SIZE_BYTES - 1, 'xy'),
  ]);
  assert.deepEqual(chunks, [
    { index: 0, extents: [block(0, 10, 'x'), block(CHUNK_SIZE_BYTES - 3, 3, 'a', 5, 100)] },
    { index: 1, extents: [block(CHUNK_SIZE_BYTES, 7, 'a', 8, 100), inline(2 * CHUNK_SIZE_BYTES - 1, 'x')] },
    { index: 2, extents: [inline(2 * CHUNK_SIZE_BYTES, 'y')] },
  ]);
});
