import type { Run } from './dirty-buffer.ts';

/** A run of file bytes inside a block that is going to be stored. */
export interface PlannedExtent {
  readonly offset: number;
  readonly length: number;
  readonly blockOffset: number;
}

export interface PlannedBlock {
  readonly data: Uint8Array;
  readonly length: number;
  readonly extents: readonly PlannedExtent[];
}

/**
 * Packs ranges, in order of offset, into as few blocks as go without cutting a range: scattered small writes of one flush cost one
 * block. A range that has a block to itself is not copied.
 */
export function cutIntoBlocks(runs: Iterable<Run>, blockSizeBytes: number): PlannedBlock[] {
  const blocks: PlannedBlock[] = [];
  let pack: Run[] = [];
  let packed = 0;
  const close = (): void => {
    if (pack.length > 0) blocks.push(packBlock(pack, packed));
    pack = [];
    packed = 0;
  };
  for (const run of runs) {
    if (packed + run.length > blockSizeBytes) close();
    pack.push(run);
    packed += run.length;
  }
  close();
  return blocks;
}

function packBlock(runs: readonly Run[], length: number): PlannedBlock {
  const only = runs.length === 1 ? runs[0]! : undefined;
  const data = only ? only.data.subarray(0, only.length) : new Uint8Array(length);
  const extents: { offset: number; length: number; blockOffset: number }[] = [];
  let at = 0;
  for (const run of runs) {
    if (!only) data.set(run.data.subarray(0, run.length), at);
    const last = extents.at(-1);
    if (last && last.offset + last.length === run.offset) last.length += run.length;
    else extents.push({ offset: run.offset, length: run.length, blockOffset: at });
    at += run.length;
  }
  return { data, length: data.length, extents };
}
