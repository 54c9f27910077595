import { assert, defined } from '../base/assert.ts';
import { concatBytes, fromHex } from '../base/bytes.ts';
import type { Extent, Op } from '../gen/ringfs/v1/namespace.ts';
import type { Batch } from './batch.ts';
import { type MappedExtent, mapExtent } from './layout.ts';
import { appendExtents, blockExtent, inlineExtent, writeExtents } from './ops/op.ts';

/** The extents of a stored batch; of an append, relative to where it will go. */
export function batchExtents(batch: Batch): Extent[] {
  const { storage } = batch;
  assert(storage.state !== 'waiting', 'the batch is not stored');
  if (storage.state === 'inline') return inlineExtents(batch);
  const out: Extent[] = [];
  storage.planned.forEach((block, i) => {
    const id = fromHex(defined(storage.stored[i], 'a stored block'));
    for (const { offset, length, blockOffset } of block.extents) {
      out.push(blockExtent(offset, length, id, blockOffset, block.length));
    }
  });
  return out;
}

function inlineExtents(batch: Batch): Extent[] {
  const out: Extent[] = [];
  for (const run of batch.buffer.runs()) {
    const data = run.data.subarray(0, run.length);
    const last = out.at(-1);
    if (last && last.offset + last.length === run.offset) {
      out[out.length - 1] = inlineExtent(last.offset, concatBytes([last.inline, data]));
    } else {
      out.push(inlineExtent(run.offset, data));
    }
  }
  return out;
}

export function batchOp(batch: Batch, ino: number): Op {
  const extents = batchExtents(batch);
  const { mtime, clearSuidSgid } = batch;
  if (batch.kind === 'append') return appendExtents({ ino, extents, mtime, clearSuidSgid });
  return writeExtents({ ino, extents, mtime, clearSuidSgid, keepSize: false, keepTimes: false });
}

/** Where the batch is in the file once it has been committed at `base`. */
export function mappedExtents(batch: Batch, base: number): MappedExtent[] {
  return batchExtents(batch).map((extent) => mapExtent({ ...extent, offset: extent.offset + base }));
}

/**
 * Where a committed file holds an append whose commit got no answer, or undefined. `extents`: those of the file from
 * the size on that it had before, in order.
 */
export function findAppended(batch: Batch, extents: readonly Extent[]): number | undefined {
  const [first] = batchExtents(batch);
  if (!first) return undefined;
  for (const extent of extents) {
    if (first.blockId.length > 0) {
      const same =
        Buffer.compare(first.blockId, extent.blockId) === 0 && first.blockOffset === extent.blockOffset;
      if (same) return extent.offset - first.offset;
    } else if (extent.blockId.length === 0) {
      // The servers merge inline neighbours, so it may start anywhere in one.
      const at = Buffer.from(extent.inline).indexOf(first.inline);
      if (at >= 0) return extent.offset + at - first.offset;
    }
  }
  return undefined;
}
