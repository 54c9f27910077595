import { existsSync, readdirSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import type { ServerId } from '../../base/ids.ts';
import { syncDirectory } from '../../io/os/sync-directory.ts';
import { openMetaStorage } from '../../io/rocksdb/meta-storage.ts';
import { type LoadedDump, loadDump } from '../../meta/maintenance/load-dump.ts';
import { CliError, usageError } from '../cli-error.ts';
import { claimDataDirectory, recordFounders, storedIdentity } from '../server/identity.ts';
import { parsePeers, parseServerId } from '../values.ts';
import { readDumpFile } from './dump-file.ts';
import { metaFolder, withAdvice } from './meta-data.ts';

export interface LoadFlags {
  readonly data: string;
  readonly id: string;
  readonly peers: string;
  readonly clusterId?: string;
  readonly besideBlocks?: boolean;
  readonly json?: boolean;
}

/** What a load that was interrupted leaves behind; the next one begins anew. */
const UNFINISHED = 'meta.loading';

/** Makes the data directory of a member of a new cluster out of a dump. Throws CliError. */
export async function runMetaLoad(file: string, flags: LoadFlags): Promise<void> {
  const id = parseServerId(flags.id, '--id');
  const peers = parsePeers(flags.peers, '--peers');
  if (!peers.some((peer) => peer.id === id)) {
    throw usageError(
      `--peers does not name this server, ${id}`,
      'every server is loaded with the same --peers',
    );
  }
  const data = path.resolve(flags.data);
  refuseUsed(data, flags, id);
  const unfinished = path.join(data, UNFINISHED);
  const loaded = await withAdvice(async () => {
    await rm(unfinished, { recursive: true, force: true });
    const parts = readDumpFile(file);
    try {
      const members = peers.map((peer) => ({ id: peer.id as ServerId, address: peer.address }));
      const done = await loadDump(parts, await openMetaStorage(unfinished), {
        id: id as ServerId,
        members,
        ...(flags.clusterId === undefined ? {} : { clusterId: flags.clusterId }),
      });
      const claimed = claimDataDirectory(data, { clusterId: done.clusterId, serverId: id });
      // First, so that it is never taken for a server without memory that is being started for the first time.
      recordFounders(data, claimed, {});
      await rename(unfinished, metaFolder(data));
      await syncDirectory(data);
      return done;
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true });
      throw error;
    } finally {
      await parts.return?.();
    }
  });
  report(loaded, data, flags);
}

/** Throws CliError unless nothing is in `data`, or with --beside-blocks nothing but the blocks of this server. */
function refuseUsed(data: string, { besideBlocks, clusterId }: LoadFlags, id: string): void {
  const found = existsSync(data) ? readdirSync(data).filter((name) => name !== UNFINISHED) : [];
  if (found.length === 0) return;
  const list = found.sort().join(', ');
  if (found.includes('meta')) {
    throw new CliError(
      `${data} has metadata (${list})`,
      `a dump is loaded where there is none: if that is to be replaced, move ${metaFolder(data)} away first`,
    );
  }
  if (besideBlocks !== true) {
    throw new CliError(
      `${data} is not empty (${list})`,
      'name a new directory, or, if these are the blocks of the same server, add --beside-blocks',
    );
  }
  const identity = storedIdentity(data);
  if (identity === undefined)
    throw new CliError(`${data} does not say whose blocks it holds: ringfs.json is missing`);
  if (identity.serverId !== id)
    throw new CliError(`${data} belongs to server ${identity.serverId}, not to ${id}`);
  if (clusterId !== undefined && clusterId !== identity.clusterId) {
    throw new CliError(
      `the blocks in ${data} belong to cluster ${identity.clusterId}`,
      'leave --cluster-id out',
    );
  }
}

function report(
  { header, clusterId, index, rows, dropped }: LoadedDump,
  data: string,
  flags: LoadFlags,
): void {
  const of = header.meta?.index ?? 0;
  if (flags.json === true) {
    process.stdout.write(
      `${JSON.stringify({ data, clusterId, dumpIndex: of, index, rows, dropped }, null, 2)}\n`,
    );
    return;
  }
  process.stdout.write(
    `loaded ${rows} rows of cluster ${header.clusterId} as of index ${of} into ${data}; the new log begins at ${index}\n` +
      `${dropped} rows of sessions and locks were left out: mounts begin anew\n` +
      `load every server of --peers before the first is started:\n` +
      `  ringfs server --id ${flags.id} --data ${data} --peers ${flags.peers} ...\n`,
  );
}
