import type { CountersRow } from '../../gen/ringfs/v1/rows.ts';
import { COUNTERS_KEY } from './keys.ts';
import { COUNTERS } from './rows.ts';
import type { Rows } from './types.ts';

/** Before the cluster is initialised there is no row. */
const NO_COUNTERS: CountersRow = { nextIno: 1, inodes: 0, allocatedBytes: 0, version: 0 };

/** A number that no inode ever had. */
export function takeIno(rows: Rows, index: number): number {
  const counters = readCounters(rows);
  const ino = counters.nextIno;
  rows.write(COUNTERS_KEY, COUNTERS, {
    ...counters,
    nextIno: ino + 1,
    inodes: counters.inodes + 1,
    version: index,
  });
  return ino;
}

export function addToCounters(rows: Rows, index: number, inodes: number, allocatedBytes: number): void {
  if (inodes === 0 && allocatedBytes === 0) return;
  const counters = readCounters(rows);
  rows.write(COUNTERS_KEY, COUNTERS, {
    ...counters,
    inodes: counters.inodes + inodes,
    allocatedBytes: counters.allocatedBytes + allocatedBytes,
    version: index,
  });
}

function readCounters(rows: Rows): CountersRow {
  return rows.read(COUNTERS_KEY, COUNTERS) ?? NO_COUNTERS;
}
