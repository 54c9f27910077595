import { toHex } from '../../../base/bytes.ts';
import { SESSION_WINDOW_MAX } from '../../../base/limits.ts';
import type { SessionRow } from '../../../gen/ringfs/v1/rows.ts';
import { readU32, readU64, TABLE } from '../keys.ts';
import { lockOf } from '../locks/inode-locks.ts';
import { conflicts, type Lock } from '../locks/ranges.ts';
import { lockBucket } from '../locks/session-locks.ts';
import { ANSWER, LOCK, LOCK_WAITER, LOCKED_INODES, NONCE, SESSION } from '../rows.ts';
import type { RowSource } from '../types.ts';
import type { OnFinding } from './finding.ts';
import { type Scratch, type ScratchWriter, scratchKey, TAG, tagRange, u32s } from './scratch.ts';
import { fold, join, type Keyed, rowsOf, taggedRows } from './streams.ts';

/** Sessions, their answers and nonces, and the locks with their three indexes. */

const NUMBER_BYTES = 8;

interface Answers {
  count: number;
  first: number;
  last: number;
}

/** Returns the number of sessions. */
export async function checkSessions(
  source: RowSource,
  scratch: Scratch,
  writer: ScratchWriter,
  onFinding: OnFinding,
): Promise<number> {
  await sortLocks(source, writer, onFinding);
  let sessions = 0;
  const rows = join({
    row: rowsOf(source, TABLE.session, SESSION, onFinding),
    answers: answersBySession(source, onFinding),
    buckets: bucketsBySession(source, onFinding),
    locks: foldPresence(taggedRows(scratch, tagRange(TAG.lockOfSession))),
    waits: foldPresence(taggedRows(scratch, tagRange(TAG.waiterRow))),
  });
  for await (const { key, row, ...about } of rows) {
    const session = readU64(key, 0);
    const report = (check: string, detail: string): void => onFinding({ check, session, detail });
    if (row === undefined) {
      if (about.answers !== undefined)
        report('answers-without-session', `${about.answers.count} answers are of no session`);
      if (about.locks !== undefined)
        report('locks-without-session', 'locks are held or waited for by no session');
      if (about.buckets !== undefined || about.waits !== undefined) {
        report('lock-index', 'the index of locks names a session that does not exist');
      }
      continue;
    }
    sessions++;
    await writer.put(scratchKey(TAG.nonce, [], row.nonce), key.slice(0, NUMBER_BYTES));
    checkAnswers(row, about.answers, report);
    if (row.lockBuckets !== (about.buckets?.bits ?? 0)) {
      report(
        'lock-index',
        `lock_buckets is ${row.lockBuckets}, there are rows for ${about.buckets?.bits ?? 0}`,
      );
    }
  }
  await writer.flush();
  await checkNonces(source, scratch, onFinding);
  await checkLockIndex(scratch, TAG.lockOfSession, TAG.lockedInode, onFinding);
  await checkLockIndex(scratch, TAG.waiter, TAG.waiterRow, onFinding);
  return sessions;
}

function checkAnswers(
  row: SessionRow,
  answers: Answers | undefined,
  report: (check: string, detail: string) => void,
): void {
  if (row.ackedBelow > row.nextSequence) {
    report('session-window', `acked_below ${row.ackedBelow} is beyond next_sequence ${row.nextSequence}`);
  }
  if (answers === undefined) return;
  if (answers.first < row.ackedBelow || answers.last >= row.nextSequence) {
    report(
      'session-answers',
      `answers ${answers.first} to ${answers.last} are kept, those from ${row.ackedBelow} to ${row.nextSequence - 1} may be`,
    );
  }
  if (answers.count > SESSION_WINDOW_MAX) report('session-answers', `${answers.count} answers are kept`);
}

async function* answersBySession(
  source: RowSource,
  onFinding: OnFinding,
): AsyncIterableIterator<Keyed<Answers>> {
  yield* fold(
    rowsOf(source, TABLE.answer, ANSWER, onFinding),
    NUMBER_BYTES,
    (): Answers => ({ count: 0, first: 0, last: 0 }),
    (sum, { key }) => {
      sum.last = readU64(key, NUMBER_BYTES);
      if (sum.count++ === 0) sum.first = sum.last;
    },
  );
}

async function* bucketsBySession(
  source: RowSource,
  onFinding: OnFinding,
): AsyncIterableIterator<Keyed<{ bits: number }>> {
  yield* fold(
    rowsOf(source, TABLE.lockedInodes, LOCKED_INODES, onFinding),
    NUMBER_BYTES,
    () => ({ bits: 0 }),
    (sum, { key }) => {
      sum.bits = (sum.bits | (1 << readU32(key, NUMBER_BYTES))) >>> 0;
    },
  );
}

async function* foldPresence(rows: AsyncIterable<Keyed<unknown>>): AsyncIterableIterator<Keyed<object>> {
  yield* fold(
    rows,
    NUMBER_BYTES,
    () => ({}),
    () => {},
  );
}

/** Locks by session, as the lock rows have them and as the indexes do. */
async function sortLocks(source: RowSource, writer: ScratchWriter, onFinding: OnFinding): Promise<void> {
  for await (const { key, value } of rowsOf(source, TABLE.lock, LOCK, onFinding)) {
    const ino = readU64(key, 0);
    let held: Lock[];
    let waiting: Lock[];
    try {
      held = value.held.map(lockOf);
      waiting = value.waiting.map(lockOf);
    } catch {
      onFinding({ check: 'bad-lock', ino, detail: 'a lock has no range' });
      continue;
    }
    checkLocks(ino, held, waiting, onFinding);
    for (const { session } of [...held, ...waiting]) {
      await writer.put(scratchKey(TAG.lockOfSession, [session, lockBucket(ino), ino]), u32s());
    }
    for (const { session, owner, flock } of waiting) {
      if (!flock) await writer.put(scratchKey(TAG.waiter, [session, owner, ino]), u32s());
    }
  }
  for await (const { key, value } of rowsOf(source, TABLE.lockedInodes, LOCKED_INODES, onFinding)) {
    const bucket = readU32(key, NUMBER_BYTES);
    for (const ino of value.inos) {
      await writer.put(scratchKey(TAG.lockedInode, [readU64(key, 0), bucket, ino]), u32s());
    }
  }
  for await (const { key, value } of rowsOf(source, TABLE.lockWaiter, LOCK_WAITER, onFinding)) {
    for (const ino of value.inos) {
      await writer.put(scratchKey(TAG.waiterRow, [readU64(key, 0), readU64(key, NUMBER_BYTES), ino]), u32s());
    }
  }
  await writer.flush();
}

function checkLocks(ino: number, held: Lock[], waiting: readonly Lock[], onFinding: OnFinding): void {
  if (held.length === 0 && waiting.length === 0)
    onFinding({ check: 'bad-lock', ino, detail: 'an empty lock row' });
  held.sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  held.forEach((lock, at) => {
    for (let next = at + 1; next < held.length && held[next]!.first <= lock.last; next++) {
      const other = held[next]!;
      if (!conflicts(lock, other)) continue;
      const who = `sessions ${lock.session} and ${other.session}`;
      onFinding({
        check: 'lock-conflict',
        ino,
        session: lock.session,
        detail: `${who} hold locks that exclude each other`,
      });
    }
  });
  for (const waiter of waiting) {
    if (held.some((lock) => conflicts(lock, waiter))) continue;
    onFinding({ check: 'lock-waiter', ino, session: waiter.session, detail: 'a waiter could have its lock' });
  }
}

async function checkNonces(source: RowSource, scratch: Scratch, onFinding: OnFinding): Promise<void> {
  const rows = join({
    stored: rowsOf(source, TABLE.nonce, NONCE, onFinding),
    wanted: taggedRows(scratch, tagRange(TAG.nonce)),
  });
  for await (const { key, stored, wanted } of rows) {
    const session = wanted === undefined ? undefined : readU64(wanted, 0);
    if (stored !== undefined && stored.session === session) continue;
    const detail = `nonce ${toHex(key)} is of session ${session ?? 'none'}, its row says ${stored?.session ?? 'nothing'}`;
    onFinding({ check: 'session-nonce', session: session ?? stored?.session ?? 0, detail });
  }
}

async function checkLockIndex(
  scratch: Scratch,
  byLocks: number,
  byIndex: number,
  onFinding: OnFinding,
): Promise<void> {
  const rows = join({
    lock: taggedRows(scratch, tagRange(byLocks)),
    index: taggedRows(scratch, tagRange(byIndex)),
  });
  for await (const { key, lock, index } of rows) {
    if (lock !== undefined && index !== undefined) continue;
    const what = lock === undefined ? 'names a lock that is not there' : 'lacks a lock';
    onFinding({
      check: 'lock-index',
      session: readU64(key, 0),
      ino: readU64(key, 2 * NUMBER_BYTES),
      detail: `the index of ${byIndex === TAG.waiterRow ? 'waiters' : 'locks'} ${what}`,
    });
  }
}
