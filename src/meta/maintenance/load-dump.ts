import { defined } from '../../base/assert.ts';
import { equalBytes } from '../../base/bytes.ts';
import { versionRefusal } from '../../base/format-version.ts';
import type { ServerId } from '../../base/ids.ts';
import { RESTORE_INDEX_GAP, RESTORE_INO_GAP } from '../../base/limits.ts';
import { NAMESPACE_VERSIONS } from '../../core/namespace/cluster.ts';
import { CLUSTER_KEY, COUNTERS_KEY, TABLE } from '../../core/namespace/keys.ts';
import { CLUSTER, COUNTERS } from '../../core/namespace/rows.ts';
import { NO_MEMBERS } from '../../core/raft/conf-change.ts';
import type { RaftSnapshotMeta, SnapshotHeader, SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import type { KvStore } from '../../ports/kv-store.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import { SnapshotRefusedError } from '../raft/errors.ts';
import { RaftLogStore } from '../raft/log-store.ts';
import { META_FORMAT_VERSION, META_VERSIONS } from '../raft/recovery.ts';
import { type Row, readHeader, readRows } from '../raft/snapshot-stream.ts';
import { StateInstall } from '../raft/state-store.ts';
import { damagedDump, MaintenanceError } from './errors.ts';

export interface LoadOptions {
  readonly id: ServerId;
  /** Voters of the new cluster, the same list for every server. */
  readonly members: readonly { readonly id: ServerId; readonly address: string }[];
  /** Default: that of the dump, to which the blocks belong. */
  readonly clusterId?: string;
}

export interface LoadedDump {
  readonly header: SnapshotHeader;
  readonly clusterId: string;
  /** Where the new cluster's log begins. */
  readonly index: number;
  readonly rows: number;
  /** Rows of sessions and their locks, which were not taken over. */
  readonly dropped: number;
}

const STATE_NAME = 'state-1';

/** The header of a dump, when this program can read what follows. Throws MaintenanceError. */
export async function readDumpHeader(parts: AsyncIterator<SnapshotPart>): Promise<SnapshotHeader> {
  const header = await refusalsOf(readHeader(parts));
  const wrong = versionRefusal(header.formatVersion, META_VERSIONS);
  if (wrong !== undefined) throw new MaintenanceError(`the dump ${wrong.problem} of its rows`, wrong.advice);
  if (header.clusterId === '' || header.meta === undefined) {
    throw damagedDump('its header is incomplete');
  }
  return header;
}

/** Copies the rows of a dump behind its header into `kv`, as they are. Throws MaintenanceError. */
export async function copyRows(
  parts: AsyncIterator<SnapshotPart>,
  kv: Pick<KvStore, 'write'>,
): Promise<number> {
  let count = 0;
  await refusalsOf(
    readRows(parts, async (rows) => {
      count += rows.length;
      const batch = rows.map(([key, value]) => ({ type: 'put' as const, key, value }));
      await kv.write(batch, { sync: false });
    }),
  );
  return count;
}

/**
 * Fills an empty data directory with a dump, as the first member or one of the first members of a new cluster: the state, a log
 * that begins behind it, and the identity. Every member is filled from the same dump with the same list. Sessions and locks
 * are left out, because their clients know of a later past. Throws MaintenanceError.
 */
export async function loadDump(
  parts: AsyncIterator<SnapshotPart>,
  storage: MetaStorage,
  options: LoadOptions,
): Promise<LoadedDump> {
  const header = await readDumpHeader(parts);
  const clusterId = options.clusterId ?? header.clusterId;
  const meta = startOf(header, options);
  const kv = await storage.openState(STATE_NAME);
  const install = new StateInstall(storage, STATE_NAME, kv);
  let rows = 0;
  let dropped = 0;
  try {
    await refusalsOf(
      readRows(parts, async (batch) => {
        const kept = batch.filter(
          ([key]) => !DROPPED.has(key[0]!) && !(clusterId !== header.clusterId && key[0] === TABLE.blockNode),
        );
        rows += kept.length;
        dropped += batch.length - kept.length;
        await install.write(kept.map((row) => restoredRow(row, clusterId)));
      }),
    );
    await install.seal(meta);
  } finally {
    await kv.close();
  }
  await storage.switchTo(STATE_NAME);
  await writeLog(storage, { clusterId, serverId: options.id, formatVersion: META_FORMAT_VERSION }, meta);
  return { header, clusterId, index: meta.index, rows, dropped };
}

/** What clients of the lost cluster had. A session that they still use is unknown to the new one, and they begin anew. */
const DROPPED: ReadonlySet<number> = new Set([
  TABLE.session,
  TABLE.answer,
  TABLE.nonce,
  TABLE.lock,
  TABLE.lockedInodes,
  TABLE.lockWaiter,
]);

function startOf(header: SnapshotHeader, { members }: LoadOptions): RaftSnapshotMeta {
  const { index, term } = defined(header.meta, 'checked with the header');
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const confState = {
    ...NO_MEMBERS,
    voters: sorted.map(({ id }) => id),
    addresses: sorted.map(({ id, address }) => ({ id, address })),
  };
  return { index: index + RESTORE_INDEX_GAP, term: term + 1, confState };
}

function restoredRow([key, value]: Row, clusterId: string): Row {
  if (equalBytes(key, COUNTERS_KEY)) {
    const counters = COUNTERS.decode(value);
    return [key, COUNTERS.encode({ ...counters, nextIno: counters.nextIno + RESTORE_INO_GAP })];
  }
  if (!equalBytes(key, CLUSTER_KEY)) return [key, value];
  const cluster = CLUSTER.decode(value);
  const wrong = versionRefusal(cluster.formatVersion, NAMESPACE_VERSIONS);
  if (wrong !== undefined)
    throw new MaintenanceError(`the namespace in the dump ${wrong.problem}`, wrong.advice);
  return [key, CLUSTER.encode({ ...cluster, clusterId })];
}

async function writeLog(
  storage: MetaStorage,
  identity: Parameters<RaftLogStore['initialize']>[0],
  meta: RaftSnapshotMeta,
): Promise<void> {
  const log = await RaftLogStore.open(storage);
  try {
    await log.initialize(identity, meta);
    await log.append([], { term: meta.term, votedFor: undefined, commit: meta.index }, { sync: true });
  } finally {
    await log.close();
  }
}

async function refusalsOf<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SnapshotRefusedError) throw damagedDump(error.message, error);
    throw error;
  }
}
