import type { ServerId } from '../../base/ids.ts';
import type { RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import { RaftLog } from './log.ts';
import { createMessage } from './messages.ts';
import { ReadRequests } from './read-requests.ts';
import { Rounds } from './rounds.ts';
import { Tracker } from './tracker.ts';
import type { HardState, RaftConfig, RaftInitialState, RaftRole, ReadState } from './types.ts';

/** Everything a replica's Raft core knows. The rules that change it are functions, one file per subject. */
export class RaftState {
  readonly id: ServerId;
  readonly config: RaftConfig;
  readonly log: RaftLog;
  readonly tracker: Tracker;
  readonly rounds = new Rounds();
  readonly reads: ReadRequests;

  term: number;
  votedFor: ServerId | undefined;
  role: RaftRole = 'follower';
  leader: ServerId | undefined = undefined;
  /** What the driver last reported as persisted. */
  persisted: HardState;

  /** Ticks of this process. */
  ticks = 0;
  /** Ticks since the election timer was reset; it fires at `electionTimeout`. */
  electionElapsed = 0;
  electionTimeout: number;
  heartbeatElapsed = 0;
  /** Ticks since a leader, of whatever term, was heard of; see inLease. */
  contactElapsed: number;
  /** As a follower: the latest heartbeat round seen in this term. */
  seenRound = 0;

  /** As a candidate: on the leader's order, which overrides the voters' lease. */
  forced = false;

  /** As a leader: no configuration change may be proposed before this index is applied. */
  pendingConfIndex = 0;
  /** As a leader: the bytes in the log that are not committed. */
  uncommittedBytes = 0;
  /** As a leader: who is to lead instead; proposals are refused meanwhile. */
  transferee: ServerId | undefined = undefined;
  transferElapsed = 0;
  /** Members that were told to campaign at once, and the heartbeat round of that time. While one of them may still do
   * so the lease is void, because voters do not honour it then. */
  readonly summoned = new Map<ServerId, number>();

  /** To be sent after the next Ready is persisted. */
  outbox: RaftMessage[] = [];
  readStates: ReadState[] = [];
  /** As a leader: some peer may be due an append message. */
  appendsDue = false;
  /** As a leader: the commit mark is worth a message of its own. */
  commitNewsDue = false;

  constructor(config: RaftConfig, initial: RaftInitialState) {
    this.id = config.id;
    this.config = config;
    this.log = new RaftLog({
      index: initial.snapshot.index,
      term: initial.snapshot.term,
      entries: initial.entries,
      commit: initial.hardState.commit,
      applied: initial.applied,
    });
    const inflightBytesMax = config.inflightBytesMax ?? config.inflightMax * config.appendBytesMax;
    this.tracker = new Tracker(config.id, config.inflightMax, inflightBytesMax);
    this.tracker.configure(initial.confState, this.log.lastIndex + 1, 0);
    this.term = initial.hardState.term;
    this.votedFor = initial.hardState.votedFor;
    this.persisted = initial.hardState;
    this.reads = new ReadRequests(config.random);
    this.electionTimeout = this.drawElectionTimeout();
    // Before a restart a leader may have been heard of and counts on it; a new replica promised nothing.
    this.contactElapsed = this.term > 0 ? 0 : config.electionTicks;
  }

  /**
   * Voters ignore candidates for an election timeout after they heard of a leader (thesis, 4.2.3), so that the leader can rely on not
   * being replaced while a quorum answered it recently. The promise outlives a change of term and a restart.
   */
  get inLease(): boolean {
    return this.role === 'leader' || this.contactElapsed < this.config.electionTicks;
  }

  /** Raft paper, 5.4.2 and thesis, 6.4: only then the leader's commit mark is at least everyone else's. */
  get committedInTerm(): boolean {
    return this.log.term(this.log.commit) === this.term;
  }

  drawElectionTimeout(): number {
    return this.config.electionTicks + this.config.random.below(this.config.electionTicks);
  }

  /** A message of the current term, to be filled in by the caller. */
  send(type: RaftMessageType, to: ServerId): RaftMessage {
    const message = createMessage(type, this.id, to, this.term);
    this.outbox.push(message);
    return message;
  }

  /** A leader of this or a later term was heard of. */
  touchContact(): void {
    this.contactElapsed = 0;
    this.electionElapsed = 0;
  }
}
