import { assert, defined } from '../../base/assert.ts';
import type { ServerId } from '../../base/ids.ts';
import {
  EntryType,
  type RaftConfState,
  type RaftMessage,
  RaftMessageType,
  type RaftSnapshotMeta,
} from '../../gen/ringfs/v1/raft.ts';
import { campaign, countOwnVote } from './election.ts';
import { leaseValid } from './heartbeat.ts';
import {
  applyConfChange,
  confChangeRefusal,
  leaveJointWhenDue,
  restoreSnapshot,
  wantsSnapshot,
} from './membership.ts';
import { flushReads, readIndex } from './reads.ts';
import {
  acknowledgeOwn,
  appendOwn,
  flushAppends,
  hasAppends,
  reportSnapshot,
  reportUnreachable,
} from './replication.ts';
import { RaftState } from './state.ts';
import { step } from './step.ts';
import { tick } from './ticks.ts';
import { startTransfer } from './transfer.ts';
import type {
  HardState,
  ProposeConfChangeResult,
  ProposeResult,
  RaftConfig,
  RaftCore,
  RaftCoreStatus,
  RaftInitialState,
  Ready,
} from './types.ts';

/**
 * Raft after Ongaro's thesis, with PreVote and CheckQuorum; see types.ts for the contract. Between ready() and advance() everything but
 * ready() and restoreSnapshot() may be called: what is outstanding is matched by index and term when it is reported as done.
 */
export class RawNode implements RaftCore {
  readonly #s: RaftState;
  #outstanding: Ready | undefined = undefined;
  #softState: NonNullable<Ready['softState']>;

  constructor(config: RaftConfig, initial: RaftInitialState) {
    assert(config.electionTicks > config.heartbeatTicks && config.heartbeatTicks > 0, 'heartbeats too rare');
    assert(config.inflightMax > 0 && config.appendBytesMax > 0, 'nothing could be sent');
    this.#s = new RaftState(config, initial);
    this.#softState = { leader: this.#s.leader, role: this.#s.role };
  }

  tick(): void {
    tick(this.#s);
  }

  step(message: RaftMessage): void {
    step(this.#s, message);
  }

  propose(data: Uint8Array): ProposeResult {
    const refusal = this.#refusal(data.length);
    return refusal ?? this.#append(EntryType.NORMAL, data);
  }

  proposeConfChange(data: Uint8Array): ProposeConfChangeResult {
    const refusal = this.#refusal(data.length);
    if (refusal !== undefined) return refusal;
    const reason = confChangeRefusal(this.#s, data);
    if (reason !== undefined) return { ok: false, reason };
    const result = this.#append(EntryType.CONF_CHANGE, data);
    this.#s.pendingConfIndex = result.index;
    return result;
  }

  applyConfChange(data: Uint8Array): RaftConfState {
    return applyConfChange(this.#s, data);
  }

  readIndex(context: number): void {
    readIndex(this.#s, context);
  }

  leaseValid(): boolean {
    return leaseValid(this.#s);
  }

  campaign(): void {
    campaign(this.#s);
  }

  /** Nothing happens unless this node leads and `to` is another voter. */
  transferLeadership(to: ServerId): void {
    const s = this.#s;
    const target = s.tracker.get(to);
    if (s.role !== 'leader' || to === s.id || target === undefined || target.learner) return;
    if (s.transferee !== to) startTransfer(s, target);
  }

  reportUnreachable(id: ServerId): void {
    reportUnreachable(this.#s, id);
  }

  reportSnapshot(id: ServerId, ok: boolean): void {
    reportSnapshot(this.#s, id, ok);
  }

  wantsSnapshot(meta: RaftSnapshotMeta): boolean {
    return wantsSnapshot(this.#s, meta);
  }

  restoreSnapshot(meta: RaftSnapshotMeta): boolean {
    assert(this.#outstanding === undefined, 'restoreSnapshot() between ready() and advance()');
    const s = this.#s;
    const restored = restoreSnapshot(s, meta);
    // The leader goes on from here; the answer leaves after the driver persisted the new start of the log.
    if (s.role === 'follower' && s.leader !== undefined) {
      s.send(RaftMessageType.APPEND_RESPONSE, s.leader).index = s.log.commit;
    }
    return restored;
  }

  compact(index: number): void {
    this.#s.log.compact(index);
  }

  hasReady(): boolean {
    const s = this.#s;
    return (
      s.outbox.length > 0 ||
      s.readStates.length > 0 ||
      s.log.stable < s.log.lastIndex ||
      s.log.applied < s.log.commit ||
      s.reads.hasQueued ||
      (s.reads.hasUnsent && s.leader !== undefined) ||
      s.role !== this.#softState.role ||
      s.leader !== this.#softState.leader ||
      this.#hardStateChanged() ||
      hasAppends(s)
    );
  }

  ready(): Ready {
    assert(this.#outstanding === undefined, 'ready() before advance()');
    const s = this.#s;
    flushReads(s);
    flushAppends(s);
    const voteChanged = s.term !== s.persisted.term || s.votedFor !== s.persisted.votedFor;
    const entries = s.log.unstable();
    const softChanged = s.role !== this.#softState.role || s.leader !== this.#softState.leader;
    if (softChanged) this.#softState = { leader: s.leader, role: s.role };
    const ready: Ready = {
      hardState: this.#hardStateChanged() ? this.#hardState() : undefined,
      entries,
      // A lost commit mark is found again; a lost term, vote or entry is not.
      mustSync: voteChanged || entries.length > 0,
      messages: s.outbox,
      committedEntries: s.log.slice(s.log.applied + 1, s.log.commit, s.config.appendBytesMax),
      readStates: s.readStates,
      softState: softChanged ? this.#softState : undefined,
    };
    s.outbox = [];
    s.readStates = [];
    this.#outstanding = ready;
    return ready;
  }

  advance(ready: Ready): void {
    assert(this.#outstanding === ready, 'advance() of something else than the last ready()');
    this.#outstanding = undefined;
    const s = this.#s;
    if (ready.hardState !== undefined) s.persisted = ready.hardState;
    const lastEntry = ready.entries.at(-1);
    if (lastEntry !== undefined) s.log.stableTo(lastEntry.index, lastEntry.term);
    const lastApplied = ready.committedEntries.at(-1);
    if (lastApplied !== undefined) s.log.appliedTo(lastApplied.index);
    countOwnVote(s);
    acknowledgeOwn(s);
    leaveJointWhenDue(s);
  }

  logBytes(): number {
    return this.#s.log.bytes;
  }

  term(index: number): number | undefined {
    return this.#s.log.term(index);
  }

  snapshotMetaAt(index: number, confState: RaftConfState): RaftSnapshotMeta {
    return { index, term: defined(this.term(index), 'the entry that a snapshot stands at'), confState };
  }

  status(): RaftCoreStatus {
    const s = this.#s;
    return {
      id: s.id,
      role: s.role,
      term: s.term,
      leader: s.leader,
      commit: s.log.commit,
      applied: s.log.applied,
      firstIndex: s.log.firstIndex,
      lastIndex: s.log.lastIndex,
      confState: s.tracker.confState,
      progress:
        s.role !== 'leader'
          ? []
          : Array.from(s.tracker.members, (p) => ({
              id: p.id,
              match: p.match,
              next: p.next,
              state: p.state,
              recentActive: s.ticks - p.activeTick < s.config.electionTicks,
              learner: p.learner,
            })),
    };
  }

  #hardState(): HardState {
    return { term: this.#s.term, votedFor: this.#s.votedFor, commit: this.#s.log.commit };
  }

  #hardStateChanged(): boolean {
    const { term, votedFor, commit } = this.#s.persisted;
    return term !== this.#s.term || votedFor !== this.#s.votedFor || commit !== this.#s.log.commit;
  }

  #refusal(dataBytes: number): Extract<ProposeResult, { ok: false }> | undefined {
    const s = this.#s;
    if (s.role !== 'leader') return { ok: false, reason: 'not-leader' };
    if (s.transferee !== undefined) return { ok: false, reason: 'transferring' };
    // A proposal larger than the limit is let through when nothing else is waiting.
    const full = s.uncommittedBytes > 0 && s.uncommittedBytes + dataBytes > s.config.uncommittedBytesMax;
    return full ? { ok: false, reason: 'overloaded' } : undefined;
  }

  #append(type: EntryType, data: Uint8Array): Extract<ProposeResult, { ok: true }> {
    const entry = appendOwn(this.#s, type, data);
    return { ok: true, index: entry.index, term: entry.term };
  }
}
