import type { SnapshotHeader, SnapshotPart } from '../../src/gen/ringfs/v1/raft.ts';
import { encodeDump } from '../../src/meta/maintenance/dump-format.ts';
import { encodeSnapshot, type Row } from '../../src/meta/raft/snapshot-stream.ts';
import { confState } from './raft-cluster.ts';

export const DUMP_HEADER: SnapshotHeader = {
  clusterId: 'c',
  from: 's1',
  term: 3,
  meta: { index: 50, term: 2, confState: confState(['s1', 's2', 's3']), stateHash: undefined },
  formatVersion: 1,
};

export async function* inOrder<T>(values: Iterable<T>): AsyncIterableIterator<T> {
  yield* values;
}

/** A snapshot stream of these rows. */
export function streamOf(
  rows: readonly Row[],
  header: Partial<SnapshotHeader> = {},
): AsyncIterableIterator<SnapshotPart> {
  return encodeSnapshot({ ...DUMP_HEADER, ...header }, inOrder(rows));
}

/** The file that a dump of these parts is. */
export async function fileOf(parts: AsyncIterable<SnapshotPart>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of encodeDump(parts)) pieces.push(piece);
  return new Uint8Array(Buffer.concat(pieces));
}
