import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../../src/base/random.ts';
import type { SnapshotPart } from '../../../../src/gen/ringfs/v1/raft.ts';
import { decodeDump } from '../../../../src/meta/maintenance/dump-format.ts';
import { MaintenanceError } from '../../../../src/meta/maintenance/errors.ts';
import { copyRows, readDumpHeader } from '../../../../src/meta/maintenance/load-dump.ts';
import type { Row } from '../../../../src/meta/raft/snapshot-stream.ts';
import { DUMP_HEADER, fileOf, inOrder, streamOf } from '../../../support/dumps.ts';
import { MemoryKvStore } from '../../../support/memory-kv-store.ts';

const ROWS: readonly Row[] = [1, 2, 3].map((n) => [Uint8Array.of(0x10, n), new Uint8Array(n * 5).fill(n)]);

async function readBack(pieces: Iterable<Uint8Array>): Promise<MemoryKvStore> {
  const parts = decodeDump(inOrder(pieces));
  const kv = new MemoryKvStore();
  assert.deepEqual(await readDumpHeader(parts), DUMP_HEADER);
  assert.equal(await copyRows(parts, kv), kv.size);
  return kv;
}

const refused = (pattern: RegExp, advice: RegExp) => (error: unknown) =>
  error instanceof MaintenanceError && pattern.test(error.message) && advice.test(error.advice);

describe('the file of a dump', () => {
  it('gives back header and rows, however it is cut into pieces', async () => {
    const file = await fileOf(streamOf(ROWS));
    const random = seededRandom(1);
    for (let round = 0; round < 20; round++) {
      const pieces: Uint8Array[] = [];
      for (let at = 0; at < file.length; ) {
        const length = random.below(20);
        pieces.push(file.subarray(at, at + length));
        at += length;
      }
      assert.deepEqual((await readBack(pieces)).dumpSync(), ROWS);
    }
  });

  it('goes over many parts', async () => {
    const many = Array.from(
      { length: 3000 },
      (_, n): Row => [Uint8Array.of(0x10, n >> 8, n & 255), new Uint8Array(500)],
    );
    const file = await fileOf(streamOf(many));
    assert.equal((await readBack([file])).size, many.length);
  });

  it('is refused with any one bit flipped', async () => {
    const file = await fileOf(streamOf(ROWS));
    for (let at = 0; at < file.length; at++) {
      const bad = file.slice();
      bad[at]! ^= 1 << (at % 8);
      await assert.rejects(readBack([bad]), MaintenanceError, `byte ${at}`);
    }
  });

  it('is refused when its end is missing, wherever it was cut', async () => {
    const file = await fileOf(streamOf(ROWS));
    for (let length = 0; length < file.length; length++) {
      await assert.rejects(readBack([file.subarray(0, length)]), MaintenanceError, `${length} bytes`);
    }
    const half = file.subarray(0, file.length - 10);
    await assert.rejects(readBack([half]), refused(/damaged: it ends within part 3/, /another copy/));
  });

  it('is refused with something behind its end', async () => {
    const file = await fileOf(streamOf(ROWS));
    await assert.rejects(readBack([file, Uint8Array.of(0)]), refused(/behind its end/, /another copy/));
  });

  it('is refused when parts of it are in another order, or missing', async () => {
    const all: SnapshotPart[] = [];
    for await (const part of streamOf(ROWS)) all.push(part);
    const [header, rows, trailer] = all;
    for (const parts of [
      [rows, header, trailer],
      [header, trailer],
      [header, rows, rows, trailer],
      [header, rows],
    ]) {
      const file = await fileOf(inOrder(parts.map((part) => part!)));
      await assert.rejects(readBack([file]), refused(/the dump is damaged/, /another copy/));
    }
  });

  it('is refused when it is something else', async () => {
    const text = new TextEncoder().encode('#!/bin/sh\necho hello world\n');
    await assert.rejects(readBack([text]), refused(/not a dump/, /ringfs meta dump has written/));
    await assert.rejects(readBack([]), refused(/not a dump/, /ringfs meta dump has written/));
  });

  it('is refused in a newer format, of the file or of the rows', async () => {
    const newerFile = await fileOf(streamOf(ROWS));
    newerFile[11] = 2;
    await assert.rejects(
      readBack([newerFile]),
      refused(/format version 2; this RingFS reads version 1/, /newer RingFS/),
    );
    const newerRows = await fileOf(streamOf(ROWS, { formatVersion: 2 }));
    await assert.rejects(
      readBack([newerRows]),
      refused(/format version 2; this RingFS reads version 1 of its rows/, /newer RingFS/),
    );
    const noVersion = await fileOf(streamOf(ROWS, { formatVersion: 0 }));
    await assert.rejects(readBack([noVersion]), refused(/format version 0/, /in between/));
  });
});
