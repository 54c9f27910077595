import type { ServerId } from '../../base/ids.ts';
import { EntryType, type RaftEntry, type RaftMessage, RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import { entryBytes } from './log.ts';
import type { Progress } from './progress.ts';
import { confirmRounds } from './reads.ts';
import type { RaftState } from './state.ts';
import { dismiss, summonIfReady } from './transfer.ts';

// The leader's side -----------------------------------------------------------------------------------------

/** Appends to the leader's own log. It counts once the driver reports it as persisted, and is sent with the next Ready. */
export function appendOwn(s: RaftState, type: EntryType, data: Uint8Array): RaftEntry {
  const entry = { term: s.term, index: s.log.lastIndex + 1, type, data };
  s.log.append(entry);
  s.uncommittedBytes += entryBytes(entry);
  s.appendsDue = true;
  return entry;
}

/** The entries that were persisted count for the commit rule now. */
export function acknowledgeOwn(s: RaftState): void {
  const self = s.tracker.self;
  if (s.role !== 'leader' || self === undefined) return;
  if (self.acknowledge(s.log.stable)) advanceCommit(s);
}

/** Raft paper, 5.4.2: only an entry of the leader's own term commits by counting, and all before it with it. */
export function advanceCommit(s: RaftState): void {
  const quorum = Math.min(s.tracker.quorumMatch(), s.log.lastIndex);
  const commit = s.log.commit;
  if (quorum <= commit || s.log.term(quorum) !== s.term) return;
  s.log.commitTo(quorum);
  for (let index = commit + 1; index <= quorum; index++) {
    const entry = s.log.entry(index);
    if (entry === undefined) continue;
    s.uncommittedBytes -= entryBytes(entry);
    // Members act on a change of membership, and the leader may be about to leave.
    if (entry.type === EntryType.CONF_CHANGE) s.commitNewsDue = true;
  }
  s.appendsDue ||= s.commitNewsDue;
}

/**
 * Sends every peer what it may get now. Called once per Ready, which makes one message of all proposals since the last. That a commit
 * mark alone has moved is no reason for a message: nobody waits for it at a follower, and it goes along with the next append or
 * heartbeat. At one commit in flight that spares two of five messages per follower.
 */
export function flushAppends(s: RaftState): void {
  const commitNewsDue = s.commitNewsDue;
  s.appendsDue = false;
  s.commitNewsDue = false;
  if (s.role !== 'leader') return;
  for (const peer of s.tracker.peers) {
    while (!peer.paused && peer.next <= s.log.lastIndex) {
      if (!sendAppend(s, peer)) break;
    }
    if (commitNewsDue && lacksCommitNews(s, peer)) sendEmptyAppend(s, peer);
    else if (peer.state === 'probe' && !peer.probeSent) sendAppend(s, peer);
  }
}

/** Whether flushAppends would send anything. */
export function hasAppends(s: RaftState): boolean {
  if (!s.appendsDue || s.role !== 'leader') return false;
  for (const peer of s.tracker.peers) {
    if (!peer.paused && (peer.state === 'probe' || peer.next <= s.log.lastIndex)) return true;
    if (s.commitNewsDue && lacksCommitNews(s, peer)) return true;
  }
  return false;
}

function lacksCommitNews(s: RaftState, peer: Progress): boolean {
  return peer.state === 'replicate' && peer.sentCommit < Math.min(s.log.commit, peer.next - 1);
}

/** One append message with what fits, or the request for a snapshot. False: nothing could be sent. */
function sendAppend(s: RaftState, peer: Progress): boolean {
  const prevTerm = s.log.term(peer.next - 1);
  if (prevTerm === undefined) return sendSnapshot(s, peer);
  const entries = s.log.slice(peer.next, s.log.lastIndex, s.config.appendBytesMax);
  let bytes = 0;
  for (const entry of entries) bytes += entryBytes(entry);
  fillAppend(s, peer, prevTerm, entries);
  peer.sent(entries.length, bytes);
  return true;
}

/** Carries the commit mark, and asks where the peer's log ends: it refuses when something before was lost. */
function sendEmptyAppend(s: RaftState, peer: Progress): void {
  const prevTerm = s.log.term(peer.next - 1);
  if (prevTerm === undefined) sendSnapshot(s, peer);
  else fillAppend(s, peer, prevTerm, []);
}

function fillAppend(s: RaftState, peer: Progress, prevTerm: number, entries: RaftEntry[]): void {
  const message = s.send(RaftMessageType.APPEND, peer.id);
  message.index = peer.next - 1;
  message.logTerm = prevTerm;
  message.commit = s.log.commit;
  message.entries = entries;
  peer.sentCommit = Math.max(peer.sentCommit, Math.min(s.log.commit, message.index + entries.length));
}

function sendSnapshot(s: RaftState, peer: Progress): boolean {
  // Nobody streams a snapshot to a dead peer; its next answer brings us here again.
  if (s.ticks - peer.activeTick >= s.config.electionTicks) return false;
  const index = s.log.applied;
  if (index === 0) return false;
  s.send(RaftMessageType.SNAPSHOT, peer.id).snapshot = {
    index,
    term: s.log.termAt(index),
    confState: undefined,
  };
  peer.becomeSnapshot(index);
  return true;
}

export function handleAppendResponse(s: RaftState, message: RaftMessage, peer: Progress): void {
  // Beyond our end: not an answer to anything that we sent.
  if (message.index > s.log.lastIndex) return;
  peer.ackTick = s.ticks;
  s.appendsDue = true;
  if (message.reject && message.index === 0) {
    // Every log matches at 0: this one has no configuration yet, see handleAppend.
    if (peer.match === 0 && peer.state !== 'snapshot') sendSnapshot(s, peer);
    return;
  }
  if (message.reject) {
    // Everything of ours above the follower's term at the hint conflicts with it too: skip it in one step.
    const hint = s.log.lastWithTermAtMost(message.rejectHint, message.rejectHintTerm);
    if (peer.reject(message.index, hint) && peer.state === 'replicate') peer.becomeProbe();
    return;
  }
  const advanced = peer.acknowledge(message.index);
  if (peer.state === 'probe') {
    if (advanced || peer.match === message.index) peer.becomeReplicate();
  } else if (peer.state === 'replicate') {
    peer.inflights.freeTo(message.index);
  } else if (peer.match + 1 >= s.log.firstIndex) {
    peer.becomeReplicate();
  }
  if (!advanced) return;
  advanceCommit(s);
  summonIfReady(s, peer);
}

export function handleHeartbeatResponse(s: RaftState, message: RaftMessage, peer: Progress): void {
  if (message.context > s.rounds.latest) return;
  if (message.context > peer.ackedRound) {
    peer.ackedRound = message.context;
    dismiss(s, peer, message.context);
    confirmRounds(s);
  }
  summonIfReady(s, peer);
  if (peer.state === 'probe') {
    peer.probeSent = false;
    s.appendsDue = true;
  } else if (peer.state === 'replicate' && peer.match < s.log.lastIndex) {
    // It lives but acknowledges nothing: messages were lost.
    if (s.ticks - peer.ackTick < s.config.heartbeatTicks) return;
    peer.ackTick = s.ticks;
    sendEmptyAppend(s, peer);
  }
}

/** The transport lost messages to `id`, or cannot reach it. */
export function reportUnreachable(s: RaftState, id: ServerId): void {
  const peer = s.tracker.get(id);
  if (s.role === 'leader' && peer !== undefined && peer.state === 'replicate') peer.becomeProbe();
}

/** The stream that a SNAPSHOT message asked for has ended. */
export function reportSnapshot(s: RaftState, id: ServerId, ok: boolean): void {
  const peer = s.tracker.get(id);
  if (s.role !== 'leader' || peer === undefined || peer.state !== 'snapshot') return;
  if (!ok) peer.pendingSnapshot = 0;
  peer.becomeProbe();
  // Paced by heartbeats: the follower has yet to say that it is ready, or the next attempt would follow at once.
  peer.probeSent = true;
}

// The follower's side ---------------------------------------------------------------------------------------

/** AppendEntries (Raft paper, figure 2). The answer is sent after the Ready that holds the entries was persisted. */
export function handleAppend(s: RaftState, message: RaftMessage): void {
  const { log } = s;
  const answer = s.send(RaftMessageType.APPEND_RESPONSE, message.from as ServerId);
  if (message.index < log.commit) {
    // Everything committed matches the leader's log; what comes before may have been compacted.
    answer.index = log.commit;
    return;
  }
  // Without the configuration of index 0 the changes in the log mean nothing: a joining replica starts from a snapshot.
  const unconfigured = s.tracker.confState.voters.length === 0;
  if (!unconfigured && log.appendAfter(message.index, message.logTerm, message.entries)) {
    const last = message.index + message.entries.length;
    log.commitTo(Math.max(log.commit, Math.min(message.commit, last)));
    answer.index = last;
    return;
  }
  const hint = log.lastWithTermAtMost(message.index, message.logTerm);
  answer.reject = true;
  answer.index = unconfigured ? 0 : message.index;
  answer.rejectHint = hint;
  answer.rejectHintTerm = log.term(hint) ?? 0;
}
