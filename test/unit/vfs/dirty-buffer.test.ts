import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DirtyBuffer } from '../../../src/vfs/dirty-buffer.ts';

const WINDOW = 16;
const SPACE = 80;

/** One entry per byte: what a DirtyBuffer means. */
class Oracle {
  bytes: (number | undefined)[] = Array.from({ length: SPACE });

  write(offset: number, data: Uint8Array): void {
    data.forEach((byte, i) => {
      this.bytes[offset + i] = byte;
    });
  }
}

function contentOf(buffer: DirtyBuffer): (number | undefined)[] {
  const out: (number | undefined)[] = Array.from({ length: SPACE });
  let end = 0;
  for (const run of buffer.runs()) {
    assert.ok(run.offset >= end, 'runs are sorted and disjoint');
    assert.ok(run.length > 0 && run.length <= run.data.length);
    assert.equal(
      Math.floor(run.offset / WINDOW),
      Math.floor((run.offset + run.length - 1) / WINDOW),
      'a run stays in its window',
    );
    end = run.offset + run.length;
    for (let i = 0; i < run.length; i++) out[run.offset + i] = run.data[i];
  }
  return out;
}

const writes = fc.array(
  fc.record({
    offset: fc.nat(SPACE - 1),
    length: fc.integer({ min: 1, max: 40 }),
    streaming: fc.boolean(),
  }),
  { maxLength: 30 },
);

function apply(list: readonly { offset: number; length: number; streaming: boolean }[]): {
  buffer: DirtyBuffer;
  oracle: Oracle;
} {
  const buffer = new DirtyBuffer(WINDOW);
  const oracle = new Oracle();
  let value = 1;
  for (const { offset, length, streaming } of list) {
    const data = new Uint8Array(Math.min(length, SPACE - offset)).fill(value++);
    const before = oracle.bytes.filter((b) => b !== undefined).length;
    const grown = buffer.write(offset, data, streaming);
    oracle.write(offset, data);
    assert.equal(grown, oracle.bytes.filter((b) => b !== undefined).length - before);
  }
  return { buffer, oracle };
}

describe('DirtyBuffer', () => {
  it('holds exactly what was written last', () => {
    fc.assert(
      fc.property(writes, fc.nat(SPACE), fc.nat(SPACE), (list, from, to) => {
        const { buffer, oracle } = apply(list);
        assert.deepEqual(contentOf(buffer), oracle.bytes);
        assert.equal(buffer.bytes, oracle.bytes.filter((b) => b !== undefined).length);
        assert.equal(buffer.end, oracle.bytes.findLastIndex((b) => b !== undefined) + 1);
        assert.equal(buffer.runCount, [...buffer.runs()].length);
        if (!buffer.empty)
          assert.equal(
            buffer.start(),
            oracle.bytes.findIndex((b) => b !== undefined),
          );
        const seen: (number | undefined)[] = Array.from({ length: SPACE });
        for (const { offset, data } of buffer.pieces(from, to)) {
          data.forEach((byte, i) => {
            seen[offset + i] = byte;
          });
        }
        const expected = oracle.bytes.map((b, i) => (i >= from && i < to ? b : undefined));
        assert.deepEqual(seen, expected);
      }),
    );
  });

  it('splits into full windows and the rest without losing a byte', () => {
    fc.assert(
      fc.property(writes, (list) => {
        const { buffer, oracle } = apply(list);
        const had = buffer.hasFullWindows;
        const full = buffer.takeFullWindows();
        assert.equal(had, !full.empty);
        assert.equal(full.bytes % WINDOW, 0);
        assert.equal(buffer.hasFullWindows, false);
        const rest = contentOf(buffer);
        const merged = contentOf(full).map((b, i) => b ?? rest[i]);
        assert.deepEqual(merged, oracle.bytes);
        assert.equal(buffer.end, rest.findLastIndex((b) => b !== undefined) + 1);
      }),
    );
  });

  it('takes ranges from the front, at least one window', () => {
    fc.assert(
      fc.property(writes, fc.integer({ min: 1, max: 6 }), (list, max) => {
        const { buffer, oracle } = apply(list);
        const parts: DirtyBuffer[] = [];
        while (!buffer.empty) parts.push(buffer.takeRuns(max));
        const merged: (number | undefined)[] = Array.from({ length: SPACE });
        for (const part of parts) {
          assert.ok(!part.empty);
          contentOf(part).forEach((b, i) => {
            if (b !== undefined) merged[i] = b;
          });
        }
        assert.deepEqual(merged, oracle.bytes);
      }),
    );
  });

  it('appends in place once the window is allocated', () => {
    const buffer = new DirtyBuffer(1 << 22);
    const data = new Uint8Array(1 << 17);
    buffer.write(0, data, true);
    const [first] = [...buffer.runs()];
    for (let i = 1; i < 32; i++) buffer.write(i << 17, data, true);
    const runs = [...buffer.runs()];
    assert.equal(runs.length, 1);
    assert.equal(runs[0]!.data, first!.data, 'the bytes were not copied again');
    assert.ok(buffer.hasFullWindows);
  });
});
