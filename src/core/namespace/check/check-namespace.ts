import { ROOT_INO } from '../../../base/ids.ts';
import { FORMAT_VERSION } from '../cluster.ts';
import { inodeKey, TABLE } from '../keys.ts';
import { readCluster, readCounters } from '../read.ts';
import { BLOCK_NODE, RECLAIM } from '../rows.ts';
import type { RowSource } from '../types.ts';
import { checkBlocks, checkChunkIndex } from './content.ts';
import type { OnFinding } from './finding.ts';
import { type Scratch, ScratchWriter } from './scratch.ts';
import { checkSessions } from './sessions.ts';
import { rowsOf } from './streams.ts';
import { checkInodes, checkReachable, sortLinks, type TreeSums } from './tree.ts';

/** What was walked. */
export interface NamespaceSums extends TreeSums {
  readonly blocks: number;
  readonly sessions: number;
  /** Tables with rows that this version knows nothing about, and so has not checked. */
  readonly unknownTables: readonly number[];
}

/**
 * Walks all rows of a state at rest and reports what contradicts FORMAT.md, "Namespace rows". `scratch` is an empty store for
 * sorting: memory does not grow with the number of rows. A state in which no cluster has begun has nothing to be checked.
 */
export async function checkNamespace(
  source: RowSource,
  scratch: Scratch,
  onFinding: OnFinding,
): Promise<NamespaceSums> {
  const writer = new ScratchWriter(scratch);
  await sortLinks(source, writer, onFinding);
  const sums = await checkInodes(source, scratch, writer, onFinding);
  await checkReachable(scratch, writer, onFinding);
  await checkChunkIndex(source, scratch, onFinding);
  const blocks = await checkBlocks(source, scratch, writer, onFinding);
  const sessions = await checkSessions(source, scratch, writer, onFinding);
  // Decoding them is all there is to check.
  for await (const _ of rowsOf(source, TABLE.blockNode, BLOCK_NODE, onFinding));
  for await (const _ of rowsOf(source, TABLE.reclaim, RECLAIM, onFinding));
  await checkCluster(source, sums, onFinding);
  return { ...sums, blocks, sessions, unknownTables: await unknownTables(source) };
}

async function checkCluster(source: RowSource, sums: TreeSums, onFinding: OnFinding): Promise<void> {
  const cluster = await readCluster(source);
  if (cluster === undefined) {
    if (sums.inodes > 0) onFinding({ check: 'cluster-row', detail: 'there are inodes and no cluster row' });
    return;
  }
  if (cluster.formatVersion !== FORMAT_VERSION) {
    const detail = `the rows have format version ${cluster.formatVersion}, this program knows ${FORMAT_VERSION}`;
    onFinding({ check: 'format-version', detail });
  }
  if ((await source.get(inodeKey(ROOT_INO))) === undefined) {
    onFinding({ check: 'no-root', ino: ROOT_INO, detail: 'there is no root directory' });
  }
  const counters = await readCounters(source);
  const expect = (what: string, found: number, wanted: number): void => {
    if (found !== wanted)
      onFinding({ check: 'counters', detail: `${what} is ${found}, the rows come to ${wanted}` });
  };
  expect('the counter of inodes', counters.inodes, sums.inodes);
  expect('the counter of allocated bytes', counters.allocatedBytes, sums.allocatedBytes);
  if (counters.nextIno <= sums.inoMax) {
    const detail = `the next inode number is ${counters.nextIno}, but ${sums.inoMax} is in use`;
    onFinding({ check: 'counters', detail });
  }
}

async function unknownTables(source: RowSource): Promise<number[]> {
  const known = new Set<number>(Object.values(TABLE));
  const reserved = new Set<number>([TABLE.quota, TABLE.snapshot, TABLE.keyValue, TABLE.history]);
  const found: number[] = [];
  for (let table = 1; table < TABLE.end; table++) {
    if (known.has(table) && !reserved.has(table)) continue;
    const range = { gte: Uint8Array.of(table), lt: Uint8Array.of(table + 1), limit: 1 };
    for await (const _ of source.scan(range)) found.push(table);
  }
  return found;
}
