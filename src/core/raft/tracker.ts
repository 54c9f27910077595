import type { ServerId } from '../../base/ids.ts';
import type { RaftConfState } from '../../gen/ringfs/v1/raft.ts';
import { NO_MEMBERS } from './conf-change.ts';
import { Inflights, Progress } from './progress.ts';
import { jointValue, jointVote, type VoteResult } from './quorum.ts';

const matchOf = (member: Progress): number => member.match;
const activeTickOf = (member: Progress): number => member.activeTick;
const ackedRoundOf = (member: Progress): number => member.ackedRound;
const voteOf = (member: Progress): boolean | undefined => member.vote;

/** The members of the applied configuration, and what their quorums say. */
export class Tracker {
  readonly #self: ServerId;
  readonly #inflightMax: number;
  readonly #inflightBytesMax: number;
  #members = new Map<ServerId, Progress>();
  #incoming: Progress[] = [];
  #outgoing: Progress[] = [];
  #confState: RaftConfState = NO_MEMBERS;
  /** Every member but this node. */
  peers: readonly Progress[] = [];
  /** Voters of either half but this node. */
  voterPeers: readonly Progress[] = [];

  constructor(self: ServerId, inflightMax: number, inflightBytesMax: number) {
    this.#self = self;
    this.#inflightMax = inflightMax;
    this.#inflightBytesMax = inflightBytesMax;
  }

  get confState(): RaftConfState {
    return this.#confState;
  }
  get joint(): boolean {
    return this.#outgoing.length > 0;
  }
  get self(): Progress | undefined {
    return this.#members.get(this.#self);
  }
  get members(): Iterable<Progress> {
    return this.#members.values();
  }

  get(id: string): Progress | undefined {
    return this.#members.get(id as ServerId);
  }

  /** Members that stay keep their progress; new ones start with a probe at `next`. */
  configure(confState: RaftConfState, next: number, tick: number): void {
    const known = this.#members;
    this.#members = new Map();
    const member = (id: string): Progress => {
      const there = this.#members.get(id as ServerId);
      if (there !== undefined) return there;
      const kept = known.get(id as ServerId);
      const progress = kept ?? new Progress(id as ServerId, this.#inflights());
      if (kept === undefined) progress.reset(next, tick);
      this.#members.set(id as ServerId, progress);
      return progress;
    };
    this.#incoming = confState.voters.map(member);
    this.#outgoing = confState.votersOutgoing.map(member);
    for (const voter of this.#members.values()) voter.learner = false;
    for (const id of confState.learners) member(id).learner = true;
    this.#confState = confState;
    this.peers = [...this.#members.values()].filter((p) => p.id !== this.#self);
    this.voterPeers = this.peers.filter((p) => !p.learner);
  }

  /** At a change of role or term. */
  reset(next: number, tick: number): void {
    for (const member of this.#members.values()) member.reset(next, tick);
  }

  isVoter(id: string): boolean {
    const member = this.get(id);
    return member !== undefined && !member.learner;
  }

  /** The highest index that a quorum has. */
  quorumMatch(): number {
    return jointValue(this.#incoming, this.#outgoing, matchOf);
  }
  /** A quorum was heard of at this tick or later. */
  quorumActiveTick(): number {
    return jointValue(this.#incoming, this.#outgoing, activeTickOf);
  }
  /** The latest heartbeat round that a quorum answered. */
  quorumRound(): number {
    return jointValue(this.#incoming, this.#outgoing, ackedRoundOf);
  }
  voteResult(): VoteResult {
    return jointVote(this.#incoming, this.#outgoing, voteOf);
  }

  #inflights(): Inflights {
    return new Inflights(this.#inflightMax, this.#inflightBytesMax);
  }
}
