import path from 'node:path';
import { defined } from '../../base/assert.ts';
import { toHex } from '../../base/bytes.ts';
import { readCluster } from '../../core/namespace/read.ts';
import type { SnapshotHeader, SnapshotPart, SnapshotTrailer } from '../../gen/ringfs/v1/raft.ts';
import { fetchDump } from '../../io/grpc/admin-client.ts';
import { encodeDump } from '../../meta/maintenance/dump-format.ts';
import { META_FORMAT_VERSION } from '../../meta/raft/recovery.ts';
import { encodeSnapshot } from '../../meta/raft/snapshot-stream.ts';
import { StateStore } from '../../meta/raft/state-store.ts';
import { CliError } from '../cli-error.ts';
import { holdsMetadata } from '../server/identity.ts';
import { type ClusterFlags, clientOf } from './cluster.ts';
import { writeDumpFile } from './dump-file.ts';
import { openStoppedServer, withAdvice } from './meta-data.ts';

export interface DumpFlags extends ClusterFlags {
  readonly out: string;
  /** Of a running cluster: the server to read at. Default: the leader. */
  readonly from?: string;
}

/** Writes the metadata of a running cluster, or of a stopped server, to a file. Throws CliError. */
export async function runMetaDump(flags: DumpFlags): Promise<void> {
  const stopped = flags.servers === undefined && holdsMetadata(path.resolve(flags.data));
  const seen = new SeenParts();
  await withAdvice(async () => {
    const parts = stopped ? stoppedParts(flags.data) : runningParts(flags);
    const bytes = await writeDumpFile(flags.out, encodeDump(seen.watch(parts)));
    // Standard output is the dump then.
    report(seen, bytes, flags, flags.out === '-' ? process.stderr : process.stdout);
  });
}

/** The leader has all that was acknowledged, and tells a follower how far that is. */
async function* runningParts(flags: DumpFlags): AsyncIterableIterator<SnapshotPart> {
  const members = await clientOf(flags).members();
  const server = members.find(({ id, role }) =>
    flags.from === undefined ? role === 'leader' : id === flags.from,
  );
  if (server === undefined && flags.from !== undefined) {
    const known = members.map(({ id }) => id).join(', ');
    throw new CliError(`${flags.from} is no member of the cluster`, `its members: ${known}`);
  }
  if (server === undefined) throw new CliError('there is no leader', 'see: ringfs status');
  try {
    yield* fetchDump(server.address);
  } catch (error) {
    throw new CliError(`the dump was not finished: ${(error as Error).message}`, 'try again');
  }
}

async function* stoppedParts(data: string): AsyncIterableIterator<SnapshotPart> {
  const { storage, identity } = await openStoppedServer(data);
  const state = await StateStore.openExisting(storage);
  if (state === undefined)
    throw new CliError(`${storage.location} has no state`, 'use the data of another server');
  try {
    if ((await readCluster(state.view)) === undefined)
      throw new CliError('the cluster has not begun: there is nothing to dump');
    const { applied, rows } = await state.scanAll();
    const header: SnapshotHeader = {
      clusterId: identity.clusterId,
      from: identity.serverId,
      term: applied.term,
      meta: applied,
      formatVersion: META_FORMAT_VERSION,
    };
    yield* encodeSnapshot(header, rows);
  } finally {
    await state.close();
  }
}

/** What went by. */
class SeenParts {
  header: SnapshotHeader | undefined;
  trailer: SnapshotTrailer | undefined;

  async *watch(parts: AsyncIterable<SnapshotPart>): AsyncIterableIterator<SnapshotPart> {
    for await (const part of parts) {
      if (part.body?.$case === 'header') this.header = part.body.value;
      if (part.body?.$case === 'trailer') this.trailer = part.body.value;
      yield part;
    }
    // The server ends a stream that it cannot finish with an error; one that just ends is not whole either.
    if (this.trailer === undefined) throw new CliError('the dump ended early', 'try again');
  }
}

function report(
  { header, trailer }: SeenParts,
  bytes: number,
  flags: DumpFlags,
  out: NodeJS.WritableStream,
): void {
  const { clusterId, from, meta } = defined(header, 'a stream with a trailer has a header');
  const { rows, sha256 } = defined(trailer, 'checked by watch');
  const index = meta?.index ?? 0;
  if (flags.json === true) {
    const json = {
      file: flags.out,
      clusterId,
      from,
      index,
      term: meta?.term ?? 0,
      rows,
      bytes,
      sha256: toHex(sha256),
    };
    out.write(`${JSON.stringify(json, null, 2)}\n`);
    return;
  }
  out.write(
    `wrote ${flags.out}: cluster ${clusterId} as of index ${index}, from ${from}, ${rows} rows, ${bytes} bytes\n`,
  );
}
