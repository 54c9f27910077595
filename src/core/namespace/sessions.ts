import { SESSION_WINDOW_MAX } from '../../base/limits.ts';
import type { Commit, CommitResult, ExpireSessions, OpenSession } from '../../gen/ringfs/v1/namespace.ts';
import type { SessionRow } from '../../gen/ringfs/v1/rows.ts';
import { answerKey, nonceKey, sessionKey } from './keys.ts';
import { dropSessionLocks } from './locks/session-locks.ts';
import { done, refused, rejectedResult } from './outcome.ts';
import { ANSWER, NONCE, SESSION } from './rows.ts';
import type { ApplyOutcome, LockGrant, Rows } from './types.ts';

/**
 * Client sessions and exactly-once commits. The answer of every commit, refusals included, stays until the client says that it
 * has it (`acked_below`); a sequence that arrives again gets the same answer and changes nothing. Answers kept are
 * those in [acked_below, acked_below + SESSION_WINDOW_MAX).
 */

const NONCE_BYTES = 16;

export function openSession(rows: Rows, index: number, command: OpenSession): ApplyOutcome {
  if (command.nonce.length !== NONCE_BYTES) return refused(index, 'EINVAL', 'a nonce has 16 bytes');
  const known = rows.read(nonceKey(command.nonce), NONCE);
  if (known !== undefined) return done(index, known.session, true);
  rows.knownAbsent(sessionKey(index));
  rows.write(sessionKey(index), SESSION, {
    client: command.client,
    nonce: command.nonce.slice(),
    opened: command.time,
    ackedBelow: 1,
    nextSequence: 1,
    lockBuckets: 0,
    version: index,
  });
  rows.write(nonceKey(command.nonce), NONCE, { session: index });
  return done(index, index);
}

/** With their locks. Unknown sessions are passed over: they have expired before. */
export function expireSessions(rows: Rows, index: number, command: ExpireSessions): ApplyOutcome {
  const grants: LockGrant[] = [];
  rows.require(command.sessions.map(sessionKey));
  for (const session of command.sessions) {
    const row = rows.read(sessionKey(session), SESSION);
    if (row === undefined) continue;
    dropSessionLocks(rows, index, session, row.lockBuckets, grants);
    forgetAnswers(rows, session, row.ackedBelow, row.nextSequence);
    rows.del(nonceKey(row.nonce));
    rows.del(sessionKey(session));
  }
  return grants.length === 0 ? done(index) : { ...done(index), grants };
}

/** What the session says about a commit before it is looked at: an answer, or undefined when it is to be applied. */
export function earlierAnswer(
  rows: Rows,
  index: number,
  commit: Commit,
): { readonly result: CommitResult; readonly duplicate: boolean } | undefined {
  const { session, sequence } = commit;
  const row = rows.read(sessionKey(session), SESSION);
  if (row === undefined) {
    return { result: { index, body: { $case: 'sessionUnknown', value: {} } }, duplicate: false };
  }
  if (sequence >= row.ackedBelow && sequence < row.nextSequence) {
    const answer = rows.read(answerKey(session, sequence), ANSWER);
    if (answer !== undefined) return { result: answer, duplicate: true };
  }
  const problem = sequenceProblem(row, commit);
  if (problem === undefined) return undefined;
  return { result: rejectedResult(index, 'EINVAL', problem), duplicate: false };
}

function sequenceProblem(row: SessionRow, commit: Commit): string | undefined {
  const { sequence } = commit;
  const ackedBelow = Math.max(row.ackedBelow, commit.ackedBelow);
  if (sequence < ackedBelow) return 'the client has said that it has the answer';
  if (sequence >= ackedBelow + SESSION_WINDOW_MAX) return 'too far ahead of the oldest unanswered commit';
  return undefined;
}

/** Keeps the answer of a commit that `earlierAnswer` let through, and forgets those that the client has. */
export function recordAnswer(rows: Rows, index: number, commit: Commit, result: CommitResult): void {
  const key = sessionKey(commit.session);
  const row = rows.read(key, SESSION)!;
  const ackedBelow = Math.max(row.ackedBelow, commit.ackedBelow);
  forgetAnswers(rows, commit.session, row.ackedBelow, Math.min(ackedBelow, row.nextSequence));
  const answer = answerKey(commit.session, commit.sequence);
  if (commit.sequence >= row.nextSequence) rows.knownAbsent(answer);
  rows.write(answer, ANSWER, result);
  rows.write(key, SESSION, {
    ...row,
    ackedBelow,
    nextSequence: Math.max(row.nextSequence, commit.sequence + 1),
    version: index,
  });
}

/** At most SESSION_WINDOW_MAX rows, since no sequence was let through further ahead of `acked_below`. */
function forgetAnswers(rows: Rows, session: number, from: number, to: number): void {
  for (let sequence = from; sequence < to; sequence++) rows.del(answerKey(session, sequence));
}
