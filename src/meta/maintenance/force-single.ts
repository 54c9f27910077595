import { NO_MEMBERS } from '../../core/raft/conf-change.ts';
import type { HardState } from '../../core/raft/types.ts';
import { EntryType, type RaftConfState, type RaftEntry } from '../../gen/ringfs/v1/raft.ts';
import type { Logger } from '../../ports/logger.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import type { Identity } from '../raft/log-codec.ts';
import { RaftLogStore } from '../raft/log-store.ts';
import { type Recovered, recover } from '../raft/recovery.ts';
import { MaintenanceError } from './errors.ts';

/** What one server has of a cluster. */
export interface Survivor {
  readonly serverId: string;
  readonly clusterId: string;
  readonly applied: { readonly index: number; readonly term: number };
  /** Known to be committed; more of the log may be. */
  readonly commit: number;
  readonly last: { readonly index: number; readonly term: number };
  readonly term: number;
  /** Before. */
  readonly confState: RaftConfState;
  /** Changes of membership in the log that have not taken effect, and must not. */
  readonly pendingConfChanges: readonly number[];
}

/** Changes nothing but what every start does. Throws DataDirectoryError for what no server
 * would start from, MaintenanceError. */
export async function surveySurvivor(storage: MetaStorage, logger: Logger): Promise<Survivor> {
  return await withReplica(storage, logger, async (recovered, identity) => survivorOf(recovered, identity));
}

/**
 * Makes the server whose data this is the only member of its cluster. Whatever its log holds will be committed: an entry of which
 * it is not known may have been acknowledged. Changes of membership that are still to come are made empty. May be repeated after
 * a crash. Throws DataDirectoryError, MaintenanceError.
 */
export async function forceSingleMember(storage: MetaStorage, logger: Logger): Promise<Survivor> {
  return await withReplica(storage, logger, async (recovered, identity) => {
    const { log, state, initial } = recovered;
    const survivor = survivorOf(recovered, identity);
    const emptied = initial.entries
      .filter(({ index }) => survivor.pendingConfChanges.includes(index))
      .map((entry): RaftEntry => ({ ...entry, type: EntryType.NORMAL, data: new Uint8Array(0) }));
    const hardState: HardState = { term: survivor.term + 1, votedFor: undefined, commit: survivor.commit };
    // The state before the log would let a server that starts between the two follow the changes that are to be made empty.
    await log.rewrite(emptied, hardState);
    const { serverId, confState } = survivor;
    const addresses = confState.addresses.filter(({ id }) => id === serverId);
    await state.replaceConfState({ ...NO_MEMBERS, voters: [serverId], addresses });
    return survivor;
  });
}

async function withReplica<T>(
  storage: MetaStorage,
  logger: Logger,
  work: (recovered: Recovered, identity: Identity) => Promise<T>,
): Promise<T> {
  const identity = await readIdentity(storage);
  if (identity === undefined || (await storage.current()) === undefined) {
    throw new MaintenanceError(
      `${storage.location} holds nothing to recover from`,
      'use the data of another server, or load a dump into an empty directory: ringfs meta load',
    );
  }
  const { serverId: id, clusterId } = identity;
  const recovered = await recover(storage, { id, clusterId, members: [] }, logger);
  try {
    return await work(recovered, identity);
  } finally {
    await recovered.state.close();
    await recovered.log.close();
  }
}

async function readIdentity(storage: MetaStorage): Promise<Identity | undefined> {
  const log = await RaftLogStore.open(storage);
  try {
    return (await log.load()).identity;
  } finally {
    await log.close();
  }
}

function survivorOf({ initial, state }: Recovered, { serverId, clusterId }: Identity): Survivor {
  const { applied } = state;
  const { entries, hardState, snapshot } = initial;
  const last = entries.at(-1) ?? snapshot;
  if (![...applied.confState.voters, ...applied.confState.votersOutgoing].includes(serverId)) {
    throw new MaintenanceError(
      `${serverId} is not a voter of the cluster, so it may lack what was acknowledged long ago`,
      'recover from the data of a voter; if there is none left, load a dump of this one: ringfs meta dump, ringfs meta load',
    );
  }
  const isPending = (entry: RaftEntry): boolean =>
    entry.type === EntryType.CONF_CHANGE && entry.index > applied.index;
  return {
    serverId,
    clusterId,
    applied: { index: applied.index, term: applied.term },
    commit: hardState.commit,
    last: { index: last.index, term: last.term },
    term: hardState.term,
    confState: applied.confState,
    pendingConfChanges: entries.filter(isPending).map(({ index }) => index),
  };
}
