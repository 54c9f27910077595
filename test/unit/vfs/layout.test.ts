import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { BlockId } from '../../../src/base/ids.ts';
import { CHUNK_SIZE_BYTES } from '../../../src/base/limits.ts';
import { Layout, type MappedExtent } from '../../../src/vfs/layout.ts';

const SPACE = 64;
/** The space lies across a chunk boundary. */
const BASE = CHUNK_SIZE_BYTES - SPACE / 2;

const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    from: fc.nat(SPACE - 1),
    length: fc.integer({ min: 1, max: 30 }),
  }),
  fc.record({ kind: fc.constant('truncate' as const), from: fc.nat(SPACE), length: fc.constant(0) }),
);

describe('Layout', () => {
  it('maps every byte to where it was written last', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        const layout = new Layout(1, true);
        const oracle: (string | undefined)[] = Array.from({ length: SPACE });
        steps.forEach(({ kind, from, length }, n) => {
          if (kind === 'truncate') {
            layout.truncate(BASE + from);
            oracle.fill(undefined, from);
            return;
          }
          const block = `b${n}` as BlockId;
          const clipped = Math.min(length, SPACE - from);
          const extent: MappedExtent = {
            offset: BASE + from,
            length: clipped,
            block,
            blockOffset: 100,
            inline: new Uint8Array(0),
          };
          layout.write([extent]);
          for (let i = 0; i < clipped; i++) oracle[from + i] = `${block}:${100 + i}`;
        });
        const seen: (string | undefined)[] = Array.from({ length: SPACE });
        let end = 0;
        for (const extent of layout.find(BASE, BASE + SPACE)) {
          assert.ok(extent.offset >= end);
          end = extent.offset + extent.length;
          for (let i = 0; i < extent.length; i++) {
            seen[extent.offset - BASE + i] = `${extent.block}:${extent.blockOffset + i}`;
          }
        }
        assert.deepEqual(seen, oracle);
      }),
    );
  });

  it('knows which chunks it has', () => {
    const layout = new Layout(1, false);
    assert.equal(layout.firstMissing(0, 2), 0);
    layout.setChunk(0, []);
    assert.equal(layout.firstMissing(0, 2), 1);
    assert.equal(new Layout(1, true).firstMissing(0, 1000), undefined);
  });
});
