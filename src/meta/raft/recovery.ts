import { type ReadableVersions, versionRefusal } from '../../base/format-version.ts';
import type { ServerId } from '../../base/ids.ts';
import { NAMESPACE_VERSIONS } from '../../core/namespace/cluster.ts';
import { readCluster } from '../../core/namespace/read.ts';
import { NO_MEMBERS } from '../../core/raft/conf-change.ts';
import type { RaftInitialState } from '../../core/raft/types.ts';
import type { RaftConfState, RaftSnapshotMeta } from '../../gen/ringfs/v1/raft.ts';
import type { Logger } from '../../ports/logger.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import { DataDirectoryError } from './errors.ts';
import type { Identity } from './log-codec.ts';
import { damagedError, type LoadedLog, RaftLogStore } from './log-store.ts';
import { StateStore } from './state-store.ts';

/** Version of everything in the data directory; see FORMAT.md. */
export const META_FORMAT_VERSION = 1;
export const META_VERSIONS: ReadableVersions = { oldest: 1, newest: META_FORMAT_VERSION };

export interface Recovered {
  readonly log: RaftLogStore;
  readonly state: StateStore;
  readonly initial: RaftInitialState;
}

export interface RecoveryOptions {
  readonly id: ServerId;
  readonly clusterId: string;
  /** Voters of a new cluster, the same list on every server. Empty: this replica joins a cluster and waits to be added. */
  readonly members: readonly { readonly id: ServerId; readonly address: string }[];
  /** It has taken part before, so its log must be there. */
  readonly restarts?: boolean;
}

/**
 * Opens the data directory, or makes one, and finds out where the replica was. Refuses with DataDirectoryError whatever it
 * cannot account for; it never drops entries.
 */
export async function recover(
  storage: MetaStorage,
  options: RecoveryOptions,
  logger: Logger,
): Promise<Recovered> {
  const log = await RaftLogStore.open(storage);
  try {
    const loaded = await log.load();
    if (loaded.identity === undefined) await initialize(storage, log, loaded, options);
    else checkIdentity(storage, loaded.identity, options);
    const snapshot = loaded.snapshot ?? origin(options);
    const state = await openState(storage, loaded, snapshot);
    try {
      await checkRows(storage, state);
      if (state.applied.stateHash === undefined) {
        logger.info({ index: state.applied.index }, 'reading the whole state once to know its hash');
        await state.learnHash();
      }
      const initial = await reconcile(storage, log, state, { ...loaded, snapshot }, logger);
      return { log, state, initial };
    } catch (error) {
      await state.close();
      throw error;
    }
  } catch (error) {
    await log.close();
    throw error;
  }
}

/** Where every replica of a new cluster starts: an empty log under the same configuration. */
function origin(options: RecoveryOptions): RaftSnapshotMeta {
  const members = [...options.members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const confState: RaftConfState = {
    ...NO_MEMBERS,
    voters: members.map(({ id }) => id),
    addresses: members.map(({ id, address }) => ({ id, address })),
  };
  return { index: 0, term: 0, confState };
}

async function initialize(
  storage: MetaStorage,
  log: RaftLogStore,
  loaded: LoadedLog,
  options: RecoveryOptions,
): Promise<void> {
  if (loaded.entries.length > 0) throw damagedError(storage.location, 'the log has entries and no identity');
  if (options.restarts === true) throw damagedError(storage.location, 'its log is empty');
  if ((await storage.states()).length > 0) {
    // A state is made after the log has its identity, so the log is gone.
    throw damagedError(storage.location, 'there is a state and no log');
  }
  const { clusterId, id: serverId } = options;
  await log.initialize({ clusterId, serverId, formatVersion: META_FORMAT_VERSION }, origin(options));
}

async function openState(
  storage: MetaStorage,
  loaded: LoadedLog,
  snapshot: RaftSnapshotMeta,
): Promise<StateStore> {
  const fresh = snapshot.index === 0;
  if (!fresh && (await storage.current()) === undefined) {
    throw damagedError(storage.location, 'CURRENT is missing and the log does not reach back to the start');
  }
  const { confState } = snapshot;
  // Without voters: a replica that joins a cluster and has got nothing yet.
  const joining = fresh && loaded.entries.length === 0;
  if (confState === undefined || (confState.voters.length === 0 && !joining)) {
    throw damagedError(storage.location, 'the log names no voters');
  }
  // Entries may be there without a state: a process that died before its first start was done has an empty log.
  if ((await storage.current()) === undefined && loaded.entries.length > 0) {
    throw damagedError(storage.location, 'CURRENT is missing');
  }
  return await StateStore.open(storage, { index: snapshot.index, term: snapshot.term, confState });
}

function checkIdentity(storage: MetaStorage, found: Identity, options: RecoveryOptions): void {
  const refuse = (what: string): DataDirectoryError =>
    new DataDirectoryError(`${storage.location} ${what}; check the data directory in the configuration`);
  const wrong = versionRefusal(found.formatVersion, META_VERSIONS);
  if (wrong !== undefined)
    throw new DataDirectoryError(`${storage.location} ${wrong.problem}: ${wrong.advice}`);
  if (found.clusterId !== options.clusterId) {
    throw refuse(`belongs to cluster ${found.clusterId}, not to ${options.clusterId}`);
  }
  if (found.serverId !== options.id) {
    throw refuse(`belongs to server ${found.serverId}, not to ${options.id}`);
  }
}

/** The rows have a version of their own, which the first leader of the cluster wrote into them. */
async function checkRows(storage: MetaStorage, state: StateStore): Promise<void> {
  const cluster = await readCluster(state.view);
  const wrong = cluster === undefined ? undefined : versionRefusal(cluster.formatVersion, NAMESPACE_VERSIONS);
  if (wrong === undefined) return;
  throw new DataDirectoryError(`the namespace in ${storage.location} ${wrong.problem}: ${wrong.advice}`);
}

/** Brings log and state together. */
async function reconcile(
  storage: MetaStorage,
  log: RaftLogStore,
  state: StateStore,
  loaded: LoadedLog & { readonly snapshot: RaftSnapshotMeta },
  logger: Logger,
): Promise<RaftInitialState> {
  const { applied, installed } = state;
  let { snapshot, entries } = loaded;
  const lastIndex = snapshot.index + entries.length;
  const termAt = (index: number): number | undefined =>
    index === snapshot.index ? snapshot.term : entries[index - snapshot.index - 1]?.term;

  if (installed !== undefined && installed.index === applied.index && installed.index > snapshot.index) {
    // Died between making an installed snapshot the live state and restarting the log behind it.
    if (termAt(applied.index) !== applied.term || lastIndex < applied.index) {
      logger.warn({ index: applied.index }, 'finishing the installation of a snapshot');
      await log.reset(installed);
      snapshot = installed;
      entries = [];
    }
  }
  if (applied.index < snapshot.index) {
    throw damagedError(
      storage.location,
      `the state ends at ${applied.index} and the log starts at ${snapshot.index}`,
    );
  }
  if (termAt(applied.index) !== applied.term) {
    throw damagedError(
      storage.location,
      `the state has applied entry ${applied.index}, which the log does not have`,
    );
  }
  if (log.hardState.commit > log.lastIndex) {
    throw damagedError(
      storage.location,
      `entry ${log.hardState.commit} was committed and the log ends at ${log.lastIndex}`,
    );
  }
  const commit = Math.max(log.hardState.commit, applied.index);
  logger.info(
    {
      applied: applied.index,
      commit,
      first: snapshot.index + 1,
      last: log.lastIndex,
      term: log.hardState.term,
    },
    'recovered the metadata log',
  );
  return {
    hardState: { ...log.hardState, commit },
    snapshot,
    entries,
    applied: applied.index,
    confState: applied.confState,
  };
}
