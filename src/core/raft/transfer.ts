import { RaftMessageType } from '../../gen/ringfs/v1/raft.ts';
import type { Progress } from './progress.ts';
import type { RaftState } from './state.ts';

/**
 * Leadership transfer (thesis, 3.10): proposals stop, the target is brought up to date and told to campaign at once, which voters
 * grant in spite of their lease. Abandoned after an election timeout.
 */
export function startTransfer(s: RaftState, target: Progress): void {
  s.transferee = target.id;
  s.transferElapsed = 0;
  s.appendsDue = true;
  summonIfReady(s, target);
}

/** Called when the target answered something. */
export function summonIfReady(s: RaftState, target: Progress): void {
  if (s.transferee !== target.id || target.match !== s.log.lastIndex) return;
  const message = s.send(RaftMessageType.TIMEOUT_NOW, target.id);
  // The target obeys only while it has seen no later round; so once it answers a later one it will not campaign any more.
  message.context = s.rounds.latest;
  s.summoned.set(target.id, s.rounds.latest);
}

/** `peer` answered heartbeat round `round` in our term: it did not campaign, and will not on an earlier summons. */
export function dismiss(s: RaftState, peer: Progress, round: number): void {
  const summonedAt = s.summoned.get(peer.id);
  if (summonedAt !== undefined && round > summonedAt && s.transferee !== peer.id) s.summoned.delete(peer.id);
}

export function abandonTransfer(s: RaftState): void {
  s.transferee = undefined;
}
