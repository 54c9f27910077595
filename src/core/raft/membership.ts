import { assert } from '../../base/assert.ts';
import { EntryType, type RaftConfState, type RaftSnapshotMeta } from '../../gen/ringfs/v1/raft.ts';
import { changedConfState, decodeConfChange, encodeConfChange, LEAVE_JOINT } from './conf-change.ts';
import { advanceCommit, appendOwn, flushAppends } from './replication.ts';
import { becomeFollower } from './roles.ts';
import type { RaftState } from './state.ts';
import { abandonTransfer } from './transfer.ts';

/** Why a configuration change cannot be proposed now. */
export function confChangeRefusal(
  s: RaftState,
  data: Uint8Array,
): 'conf-change-pending' | 'conf-change-invalid' | undefined {
  // The configuration in force is the applied one, so two changes must not be on the way at once (thesis, 4.1).
  if (s.pendingConfIndex > s.log.applied) return 'conf-change-pending';
  const change = decodeConfChange(data);
  if (change === undefined || changedConfState(s.tracker.confState, change) === undefined) {
    return 'conf-change-invalid';
  }
  return undefined;
}

/** A committed change takes effect. One that is not allowed changes nothing, on every replica alike. */
export function applyConfChange(s: RaftState, data: Uint8Array): RaftConfState {
  const change = decodeConfChange(data);
  const conf = change === undefined ? undefined : changedConfState(s.tracker.confState, change);
  if (conf !== undefined) adoptConfState(s, conf);
  return s.tracker.confState;
}

function adoptConfState(s: RaftState, conf: RaftConfState): void {
  s.tracker.configure(conf, Math.max(s.log.lastIndex, 1), s.ticks);
  if (s.role !== 'leader') return;
  if (!s.tracker.isVoter(s.id)) {
    // The others learn that the change is committed before its leader is gone.
    s.commitNewsDue = true;
    flushAppends(s);
    becomeFollower(s, s.term, undefined);
    return;
  }
  if (s.transferee !== undefined && !s.tracker.isVoter(s.transferee)) abandonTransfer(s);
  // The quorum may have become smaller, and there may be someone new to send to.
  advanceCommit(s);
  s.appendsDue = true;
}

/** The leader ends a joint configuration once it has applied the change that began it (thesis, 4.3). */
export function leaveJointWhenDue(s: RaftState): void {
  if (s.role !== 'leader' || !s.tracker.joint || !s.tracker.confState.autoLeave) return;
  if (s.pendingConfIndex > s.log.applied || s.transferee !== undefined) return;
  s.pendingConfIndex = appendOwn(s, EntryType.CONF_CHANGE, encodeConfChange(LEAVE_JOINT)).index;
}

export function wantsSnapshot(s: RaftState, meta: RaftSnapshotMeta): boolean {
  if (s.role === 'leader' || meta.confState === undefined || meta.index <= s.log.commit) return false;
  // With the entry in the log, everything up to it is there too, and what follows may have been acknowledged.
  return s.log.term(meta.index) !== meta.term;
}

export function restoreSnapshot(s: RaftState, meta: RaftSnapshotMeta): boolean {
  if (!wantsSnapshot(s, meta)) {
    if (s.role !== 'leader' && s.log.term(meta.index) === meta.term) s.log.commitTo(meta.index);
    return false;
  }
  assert(meta.confState !== undefined, 'a snapshot without a configuration');
  s.log.restart(meta.index, meta.term);
  s.tracker.configure(meta.confState, meta.index + 1, s.ticks);
  return true;
}
