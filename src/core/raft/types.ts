import type { ServerId } from '../../base/ids.ts';
import type { Random } from '../../base/random.ts';
import type { RaftConfState, RaftEntry, RaftMessage, RaftSnapshotMeta } from '../../gen/ringfs/v1/raft.ts';

/**
 * The contract of the Raft core: a pure, synchronous state machine without clock, I/O or randomness of its own.
 * The driver calls `tick`, `step`, `propose`; while `hasReady()` it takes `ready()`, persists what it says, then sends
 * its messages, then applies its committed entries, then calls `advance(ready)`.
 */

export type RaftRole = 'leader' | 'follower' | 'candidate' | 'pre-candidate';

export interface RaftConfig {
  readonly id: ServerId;
  /** Randomized in [electionTicks, 2 * electionTicks) at each reset. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly appendBytesMax: number;
  readonly inflightMax: number;
  /** Bytes of entries in flight to one follower. Default: inflightMax * appendBytesMax. */
  readonly inflightBytesMax?: number;
  readonly uncommittedBytesMax: number;
  /** Seeded by the driver, differently at each start of the process: forwarded reads are numbered from a random point, so that
   * an answer to the previous life of this replica is not taken for an answer to this one. */
  readonly random: Random;
}

export interface HardState {
  readonly term: number;
  readonly votedFor: ServerId | undefined;
  readonly commit: number;
}

/** What a replica restarts from. The core keeps the uncompacted log in memory and reports what is to be persisted. */
export interface RaftInitialState {
  readonly hardState: HardState;
  /** The log starts after this point; index 0, term 0 for an empty one. */
  readonly snapshot: RaftSnapshotMeta;
  /** Entries from snapshot.index + 1 on, without gaps. */
  readonly entries: readonly RaftEntry[];
  /** Index up to which committed entries were applied to the state machine; at least snapshot.index. */
  readonly applied: number;
  /** Configuration as of `applied`. */
  readonly confState: RaftConfState;
}

export interface ReadState {
  /** The number given to readIndex(). */
  readonly context: number;
  /** Reads may be served once this index has been applied. Undefined: not the leader any more, try again. */
  readonly index: number | undefined;
}

/** What the driver owes, in this order: persist (hardState, snapshot, entries), send, apply, advance. */
export interface Ready {
  readonly hardState: HardState | undefined;
  /** Append these, replacing any stored entry with the same or a higher index. */
  readonly entries: readonly RaftEntry[];
  /** True: what is persisted must reach the disk (fsync) before the messages are sent. */
  readonly mustSync: boolean;
  /** Sent only after persisting, except for those of which mayPrecedePersistence (messages.ts) is true. A message of type
   * SNAPSHOT stands for "stream a snapshot to `to`, of index message.snapshot.index or later"; report its outcome with
   * reportSnapshot. */
  readonly messages: readonly RaftMessage[];
  readonly committedEntries: readonly RaftEntry[];
  readonly readStates: readonly ReadState[];
  /** Changed since the last Ready. */
  readonly softState: { readonly leader: ServerId | undefined; readonly role: RaftRole } | undefined;
}

export type ProposeResult =
  | { readonly ok: true; readonly index: number; readonly term: number }
  | { readonly ok: false; readonly reason: 'not-leader' | 'overloaded' | 'transferring' };

/** `conf-change-pending`: an earlier one was not applied yet, try again. `conf-change-invalid`: not allowed in the present configuration. */
export type ProposeConfChangeResult =
  | ProposeResult
  | { readonly ok: false; readonly reason: 'conf-change-pending' | 'conf-change-invalid' };

export interface PeerProgress {
  readonly id: ServerId;
  readonly match: number;
  readonly next: number;
  readonly state: 'probe' | 'replicate' | 'snapshot';
  readonly recentActive: boolean;
  readonly learner: boolean;
}

export interface RaftCoreStatus {
  readonly id: ServerId;
  readonly role: RaftRole;
  readonly term: number;
  readonly leader: ServerId | undefined;
  readonly commit: number;
  readonly applied: number;
  readonly firstIndex: number;
  readonly lastIndex: number;
  readonly confState: RaftConfState;
  readonly progress: readonly PeerProgress[];
}

/** Implemented by RawNode in raw-node.ts. */
export interface RaftCore {
  tick(): void;
  /** Throws nothing on hostile input: a message that makes no sense is dropped. */
  step(message: RaftMessage): void;
  propose(data: Uint8Array): ProposeResult;
  /** Encoded ConfChange in an entry of type CONF_CHANGE; one at a time. */
  proposeConfChange(data: Uint8Array): ProposeConfChangeResult;
  /** The driver calls this when it applies a CONF_CHANGE entry; returns the new configuration to persist with the state. */
  applyConfChange(data: Uint8Array): RaftConfState;
  /** Asks for a linearizable read point; answered in a later Ready's readStates. On a follower it is forwarded. */
  readIndex(context: number): void;
  /** Leader only: a quorum answered within the last election timeout, measured in ticks (CheckQuorum lease), and the commit
   * mark is current. Only as good as the ticks: after a stall, `tick` for the time that passed before asking. */
  leaseValid(): boolean;
  campaign(): void;
  transferLeadership(to: ServerId): void;
  reportUnreachable(id: ServerId): void;
  reportSnapshot(id: ServerId, ok: boolean): void;
  /** Whether restoreSnapshot(meta) would be true. Ask before the state machine is replaced, and step nothing in between. */
  wantsSnapshot(meta: RaftSnapshotMeta): boolean;
  /** The state machine was replaced by an installed snapshot; the log restarts after it, so the whole stored log is to be replaced by
   * (meta.index, meta.term) before the next Ready's messages are sent. False: stale, ignore it. Not between ready() and
   * advance(): the entries of that Ready would be stored into the new log. */
  restoreSnapshot(meta: RaftSnapshotMeta): boolean;
  /** The driver compacted its stored log up to and including `index`, which has been applied. */
  compact(index: number): void;
  hasReady(): boolean;
  ready(): Ready;
  advance(ready: Ready): void;
  status(): RaftCoreStatus;
  /** Size of the uncompacted entries, with an allowance for each. */
  logBytes(): number;
  /** Of an entry in memory or of the last compacted one; undefined for others. */
  term(index: number): number | undefined;
  /** The point at which a snapshot of the state machine at `index`, which is in the log or the last compacted one, stands. */
  snapshotMetaAt(index: number, confState: RaftConfState): RaftSnapshotMeta;
}
