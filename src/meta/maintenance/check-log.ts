import type { Finding, OnFinding } from '../../core/namespace/check/finding.ts';
import { decodeConfChange } from '../../core/raft/conf-change.ts';
import type { HardState } from '../../core/raft/types.ts';
import { Command } from '../../gen/ringfs/v1/namespace.ts';
import { EntryType, type RaftEntry, type RaftSnapshotMeta } from '../../gen/ringfs/v1/raft.ts';
import type { KvStore } from '../../ports/kv-store.ts';
import {
  decodeEntry,
  decodeHardState,
  decodeIdentity,
  decodeSnapshotMeta,
  entryRange,
  HARD_STATE_KEY,
  IDENTITY_KEY,
  type Identity,
  indexOfKey,
  SNAPSHOT_META_KEY,
  unseal,
} from '../raft/log-codec.ts';
import { META_FORMAT_VERSION } from '../raft/recovery.ts';
import type { LogMark } from '../raft/state-store.ts';

/** What a log holds, as far as it can be read. */
export interface LogSummary {
  readonly identity: Identity | undefined;
  readonly hardState: HardState | undefined;
  /** Index before the first entry. */
  readonly start: number;
  /** Of the last entry before the first gap. */
  readonly last: number;
  readonly lastTerm: number;
  readonly entries: number;
  /** Changes of membership behind the applied index. */
  readonly pendingConfChanges: readonly number[];
}

/**
 * Reads a whole log, entry by entry, and reports what does not fit: checksums, gaps, terms that go back, entries that cannot be
 * decoded, and an applied mark that is not of this log. Changes nothing.
 */
export async function checkLog(
  kv: Pick<KvStore, 'get' | 'scan'>,
  applied: LogMark | undefined,
  onFinding: OnFinding,
): Promise<LogSummary> {
  const report = (check: string, detail: string): void => onFinding({ check, detail } satisfies Finding);
  const identity = await sealedRow(kv, IDENTITY_KEY, decodeIdentity, 'identity', report);
  const hardState = await sealedRow(kv, HARD_STATE_KEY, decodeHardState, 'hard state', report);
  const snapshot = await sealedRow(kv, SNAPSHOT_META_KEY, decodeSnapshotMeta, 'start', report);
  if (identity === undefined) report('log-identity', 'the log does not say whose it is');
  else if (identity.formatVersion > META_FORMAT_VERSION) {
    report(
      'format-version',
      `the log has format version ${identity.formatVersion}, this program knows ${META_FORMAT_VERSION}`,
    );
  }
  const walk = new LogWalk(snapshot, applied, report);
  for await (const [key, value] of kv.scan(entryRange(0))) walk.add(indexOfKey(key), key, value);
  walk.finish(hardState);
  return {
    identity,
    hardState,
    start: snapshot?.index ?? 0,
    last: walk.last,
    lastTerm: walk.lastTerm,
    entries: walk.entries,
    pendingConfChanges: walk.pendingConfChanges,
  };
}

type Report = (check: string, detail: string) => void;

async function sealedRow<T>(
  kv: Pick<KvStore, 'get'>,
  key: Uint8Array,
  decode: (content: Uint8Array) => T,
  what: string,
  report: Report,
): Promise<T | undefined> {
  const value = await kv.get(key);
  if (value === undefined) return undefined;
  try {
    return decode(unseal(key, value));
  } catch (error) {
    report('log-row', `the ${what} of the log: ${(error as Error).message}`);
    return undefined;
  }
}

class LogWalk {
  readonly #report: Report;
  readonly #applied: LogMark | undefined;
  readonly #start: number;
  /** Of the last entry that was there, readable or not. */
  last: number;
  lastTerm: number;
  entries = 0;
  readonly pendingConfChanges: number[] = [];
  #appliedTerm: number | undefined;

  constructor(snapshot: RaftSnapshotMeta | undefined, applied: LogMark | undefined, report: Report) {
    this.#report = report;
    this.#applied = applied;
    this.#start = snapshot?.index ?? 0;
    this.last = this.#start;
    this.lastTerm = snapshot?.term ?? 0;
    if (applied?.index === this.#start) this.#appliedTerm = this.lastTerm;
  }

  add(index: number, key: Uint8Array, value: Uint8Array): void {
    // What compaction has not deleted yet is deleted by the next start.
    if (index <= this.#start) return;
    if (index !== this.last + 1)
      this.#report('log-gap', `entries ${this.last + 1} to ${index - 1} are missing`);
    this.last = index;
    this.entries++;
    let entry: RaftEntry;
    try {
      entry = decodeEntry(unseal(key, value));
    } catch (error) {
      this.#report('log-entry', `entry ${index}: ${(error as Error).message}`);
      return;
    }
    if (entry.index !== index)
      this.#report('log-entry', `entry ${index} says that it is entry ${entry.index}`);
    if (entry.term < this.lastTerm)
      this.#report('log-entry', `entry ${index} is of term ${entry.term}, after ${this.lastTerm}`);
    this.lastTerm = entry.term;
    if (index === this.#applied?.index) this.#appliedTerm = entry.term;
    this.#checkContent(entry);
  }

  #checkContent({ index, type, data }: RaftEntry): void {
    if (type === EntryType.CONF_CHANGE) {
      if (decodeConfChange(data) === undefined)
        this.#report('log-entry', `entry ${index} is no change of membership`);
      if (this.#applied !== undefined && index > this.#applied.index) this.pendingConfChanges.push(index);
    } else if (data.length > 0) {
      try {
        Command.decode(data);
      } catch (error) {
        this.#report(
          'log-entry',
          `the command of entry ${index} cannot be decoded: ${(error as Error).message}`,
        );
      }
    }
  }

  finish(hardState: HardState | undefined): void {
    const report = this.#report;
    if (hardState !== undefined && hardState.commit > this.last) {
      report('log-end', `entry ${hardState.commit} was committed and the log ends at ${this.last}`);
    }
    if (hardState !== undefined && hardState.term < this.lastTerm) {
      report('log-end', `the term is ${hardState.term} and the last entry is of term ${this.lastTerm}`);
    }
    if (this.#applied === undefined) return;
    const { index, term } = this.#applied;
    if (index < this.#start)
      report('applied-mark', `the state ends at ${index} and the log starts at ${this.#start}`);
    else if (index > this.last)
      report('applied-mark', `the state has applied entry ${index} and the log ends at ${this.last}`);
    else if (this.#appliedTerm !== term) {
      report(
        'applied-mark',
        `the state has applied entry ${index} of term ${term}, the log has it of term ${this.#appliedTerm ?? 'unknown'}`,
      );
    }
  }
}
