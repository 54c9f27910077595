import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../../src/base/random.ts';
import type { SnapshotHeader, SnapshotPart } from '../../../../src/gen/ringfs/v1/raft.ts';
import { SnapshotRefusedError } from '../../../../src/meta/raft/errors.ts';
import { encodeSnapshot, type Row, readHeader, readRows } from '../../../../src/meta/raft/snapshot-stream.ts';

const HEADER: SnapshotHeader = { clusterId: 'c', from: 's1', term: 3, meta: undefined, formatVersion: 1 };

function someRows(count: number): Row[] {
  const random = seededRandom(3);
  return Array.from({ length: count }, (_, i) => [Uint8Array.of(1, i >> 8, i), random.bytes(i % 2000)]);
}

async function partsOf(rows: readonly Row[]): Promise<SnapshotPart[]> {
  const parts: SnapshotPart[] = [];
  for await (const part of encodeSnapshot(HEADER, toAsync(rows))) parts.push(part);
  return parts;
}

async function* toAsync<T>(items: readonly T[]): AsyncIterableIterator<T> {
  yield* items;
}

async function readBack(parts: readonly SnapshotPart[]): Promise<Row[]> {
  const stream = toAsync(parts);
  assert.deepEqual(await readHeader(stream), HEADER);
  const rows: Row[] = [];
  await readRows(stream, async (some) => {
    rows.push(...some);
  });
  return rows;
}

describe('snapshot stream', () => {
  for (const count of [0, 1, 1500]) {
    it(`carries ${count} rows`, async () => {
      const rows = someRows(count);
      assert.deepEqual(await readBack(await partsOf(rows)), rows);
    });
  }

  it('cuts many rows into parts', async () => {
    const parts = await partsOf(someRows(1500));
    assert.ok(parts.length > 5);
  });

  it('refuses a changed byte, a missing part, a missing end and a wrong order', async () => {
    const good = await partsOf(someRows(1500));
    const refused = async (parts: readonly SnapshotPart[]): Promise<void> =>
      await assert.rejects(readBack(parts), SnapshotRefusedError);
    await refused(good.slice(0, -1));
    await refused([good[0]!, ...good.slice(2)]);
    await refused([good[0]!, good[2]!, good[1]!, ...good.slice(3)]);
    await refused(good.slice(1));
    await refused([good[0]!, good[0]!, ...good.slice(1)]);
    const part = structuredClone(good[1]!);
    assert.ok(part.body?.$case === 'rows');
    part.body.value.values[7]![0]! ^= 1;
    await refused([good[0]!, part, ...good.slice(2)]);
    part.body.value.values[7]![0]! ^= 1;
    part.body.value.values.pop();
    await refused([good[0]!, part, ...good.slice(2)]);
  });

  it('tells a byte that moved from a key to its value', async () => {
    const split = await partsOf([[Uint8Array.of(1, 2), Uint8Array.of(3)]]);
    const moved = await partsOf([[Uint8Array.of(1), Uint8Array.of(2, 3)]]);
    await assert.rejects(readBack([moved[0]!, moved[1]!, split[2]!]), SnapshotRefusedError);
  });
});
