import { assert, defined } from '../../base/assert.ts';
import type { RaftEntry } from '../../gen/ringfs/v1/raft.ts';
import { PackedEntries } from './packed-entries.ts';

/** What an entry costs in memory and on disk besides its data. */
const ENTRY_OVERHEAD_BYTES = 32;
/** Entries that were applied and persisted are packed when there are this many of them. */
const SETTLED_ENTRIES_MAX = 2 * PackedEntries.chunkEntries;

export function entryBytes(entry: RaftEntry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

export interface LogStart {
  /** The point after which the log starts: the last compacted entry, or (0, 0). */
  readonly index: number;
  readonly term: number;
  readonly entries: readonly RaftEntry[];
  readonly commit: number;
  readonly applied: number;
}

/**
 * The uncompacted log in memory, with four marks: base <= applied <= commit <= last, and base <= stable <= last, where stable is
 * the last entry that the driver reported as persisted. Entries are shared with messages and Readys and never changed.
 */
export class RaftLog {
  /** From base + 1 on. */
  #packed: PackedEntries;
  /** What follows the packed entries. */
  #recent: RaftEntry[];
  #base: number;
  #baseTerm: number;
  #stable: number;
  #commit: number;
  #applied: number;
  #bytes = 0;

  constructor(start: LogStart) {
    this.#base = start.index;
    this.#baseTerm = start.term;
    this.#packed = new PackedEntries(start.index);
    this.#recent = [...start.entries];
    let term = start.term;
    for (const [i, entry] of start.entries.entries()) {
      assert(entry.index === start.index + 1 + i && entry.term >= term, 'the initial log has a gap');
      term = entry.term;
      this.#bytes += entryBytes(entry);
    }
    this.#stable = this.lastIndex;
    // Neither the commit mark nor the applied mark is synced by itself, so either may be the older one after a crash.
    this.#applied = Math.max(start.applied, start.index);
    this.#commit = Math.max(start.commit, this.#applied);
    assert(this.#commit <= this.lastIndex, 'the log ends before its commit mark');
    this.#pack();
  }

  /** Of the first entry in memory, whether it exists or not. */
  get firstIndex(): number {
    return this.#base + 1;
  }
  get lastIndex(): number {
    return this.#packed.lastIndex + this.#recent.length;
  }
  get lastTerm(): number {
    return this.termAt(this.lastIndex);
  }
  get commit(): number {
    return this.#commit;
  }
  get applied(): number {
    return this.#applied;
  }
  get stable(): number {
    return this.#stable;
  }
  /** Sum of entryBytes over the entries in memory. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Undefined: compacted, or beyond the end. */
  term(index: number): number | undefined {
    if (index === this.#base) return this.#baseTerm;
    if (index <= this.#packed.lastIndex) return this.#packed.term(index);
    return this.#recent[this.#slotOf(index)]?.term;
  }

  /** The term of an entry that is known to be there. */
  termAt(index: number): number {
    return defined(this.term(index), 'the term of a log entry');
  }

  entry(index: number): RaftEntry | undefined {
    if (index <= this.#packed.lastIndex) return this.#packed.entry(index);
    return this.#recent[this.#slotOf(index)];
  }

  /** Entries from `from` to `to`, inclusive, as many as fit into `bytesMax` and at least one. */
  slice(from: number, to: number, bytesMax: number): RaftEntry[] {
    if (from > to) return [];
    assert(from > this.#base && to <= this.lastIndex, 'slice outside of the log');
    const entries: RaftEntry[] = [];
    let bytes = 0;
    for (let index = from; index <= to; index++) {
      const entry = defined(this.entry(index), 'an entry of the log');
      bytes += entryBytes(entry);
      if (bytes > bytesMax && index > from) break;
      entries.push(entry);
    }
    return entries;
  }

  /** What the driver has not yet reported as persisted. */
  unstable(): RaftEntry[] {
    return this.slice(this.#stable + 1, this.lastIndex, Number.POSITIVE_INFINITY);
  }

  append(entry: RaftEntry): void {
    assert(entry.index === this.lastIndex + 1, 'append leaves a gap');
    this.#recent.push(entry);
    this.#bytes += entryBytes(entry);
  }

  /**
   * The follower's half of AppendEntries (Raft paper, figure 2): entries that are there already are kept, so that a delayed
   * message does not undo a later one; the first conflicting one and everything after it is replaced. False, and
   * nothing done, when (index, term) does not match or a committed entry would be replaced.
   */
  appendAfter(index: number, term: number, entries: readonly RaftEntry[]): boolean {
    if (this.term(index) !== term) return false;
    for (const [i, entry] of entries.entries()) {
      const own = this.term(entry.index);
      if (own === entry.term) continue;
      if (own !== undefined) {
        if (entry.index <= this.#commit) return false;
        this.#truncateFrom(entry.index);
      }
      for (let k = i; k < entries.length; k++) this.append(entries[k]!);
      break;
    }
    return true;
  }

  /** The last index at or below `index` whose term is at most `term`; terms never decrease, so by bisection. */
  lastWithTermAtMost(index: number, term: number): number {
    let low = this.#base;
    let high = Math.min(index, this.lastIndex);
    if (high <= low) return high;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (this.termAt(middle) <= term) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Raft paper, 5.4.1: whether a log that ends with (index, term) is at least as up to date as this one. */
  isUpToDate(index: number, term: number): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.lastIndex);
  }

  commitTo(index: number): void {
    assert(index <= this.lastIndex, 'commit beyond the end of the log');
    if (index > this.#commit) this.#commit = index;
  }

  appliedTo(index: number): void {
    assert(index <= this.#commit, 'applied beyond the commit mark');
    if (index > this.#applied) this.#applied = index;
    this.#pack();
  }

  /** (index, term) was persisted. It may have been replaced in memory meanwhile; then it says nothing. */
  stableTo(index: number, term: number): void {
    if (index > this.#stable && this.term(index) === term) this.#stable = index;
  }

  /** Forgets entries up to and including `index`. */
  compact(index: number): void {
    if (index <= this.#base) return;
    assert(index <= this.#applied, 'compaction of entries that were not applied');
    const term = this.termAt(index);
    for (let at = this.#base + 1; at <= index; at++) {
      this.#bytes -= entryBytes(defined(this.entry(at), 'an entry of the log'));
    }
    const packedEnd = this.#packed.lastIndex;
    if (index <= packedEnd) {
      this.#packed.dropTo(index);
    } else {
      this.#packed = new PackedEntries(index);
      this.#recent.splice(0, index - packedEnd);
    }
    this.#base = index;
    this.#baseTerm = term;
  }

  /** The log of a state machine that was replaced by a snapshot. */
  restart(index: number, term: number): void {
    this.#packed = new PackedEntries(index);
    this.#recent = [];
    this.#bytes = 0;
    this.#base = index;
    this.#baseTerm = term;
    this.#stable = index;
    this.#commit = index;
    this.#applied = index;
  }

  #slotOf(index: number): number {
    return index - this.#packed.lastIndex - 1;
  }

  #truncateFrom(index: number): void {
    const slot = this.#slotOf(index);
    assert(slot >= 0, 'packed entries are committed');
    for (const entry of this.#recent.splice(slot)) this.#bytes -= entryBytes(entry);
    this.#stable = Math.min(this.#stable, index - 1);
  }

  #pack(): void {
    const { chunkEntries } = PackedEntries;
    while (Math.min(this.#applied, this.#stable) - this.#packed.lastIndex >= SETTLED_ENTRIES_MAX) {
      this.#packed.append(this.#recent.slice(0, chunkEntries));
      this.#recent.splice(0, chunkEntries);
    }
  }
}
