import type { BlockIndex, IndexEntry } from './block-index.ts';
import { RECORD_HEADER_BYTES, RECORD_PUT, RECORD_TOUCH, recordSize } from './format.ts';

/** What the index refers to: how many bytes of each segment, the rest of which is dead, and how much altogether. */
export class SegmentUsage {
  readonly #live = new Map<number, number>();
  /** Where the last live record of each segment ends, at least: what dies does not lower it. */
  readonly #ends = new Map<number, number>();
  #liveBytes = 0;
  #blocks = 0;
  #storedBytes = 0;
  #complete = false;

  /** Whether the entries that were there at the start are counted. */
  get complete(): boolean {
    return this.#complete;
  }

  get blocks(): number {
    return this.#blocks;
  }

  /** Content of the blocks. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  get liveBytes(): number {
    return this.#liveBytes;
  }

  live(segment: number): number {
    return this.#live.get(segment) ?? 0;
  }

  /** Segments that the index refers to, with the least size that their files must have. */
  *wanted(): Iterable<{ readonly segment: number; readonly end: number }> {
    for (const [segment, live] of this.#live)
      if (live > 0) yield { segment, end: this.#ends.get(segment) ?? 0 };
  }

  /** An entry of the index was replaced by another. */
  replaced(before: IndexEntry | undefined, after: IndexEntry | undefined): void {
    if (before !== undefined) this.#count(before, -1);
    if (after !== undefined) this.#count(after, 1);
  }

  /**
   * Counts what the index holds as of this call; changes are counted by `replaced` from then on. Resolves when the entries are
   * fixed, and with a promise for the end of the counting, which can take a while.
   */
  async load(index: BlockIndex, pause: (counted: number) => Promise<void>): Promise<{ done: Promise<void> }> {
    const entries = index.entries();
    const first = await entries.next();
    const rest = async (): Promise<void> => {
      let counted = 0;
      for (let item = first; !item.done; item = await entries.next()) {
        this.#count(item.value, 1);
        counted++;
        if (counted % PAUSE_ENTRIES === 0) await pause(counted);
      }
      this.#complete = true;
    };
    return { done: rest().finally(() => entries.return()) };
  }

  removed(segment: number): void {
    this.#live.delete(segment);
    this.#ends.delete(segment);
  }

  #count(entry: IndexEntry, sign: 1 | -1): void {
    this.#blocks += sign;
    this.#storedBytes += sign * entry.length;
    if (sign > 0) {
      const end = entry.offset + RECORD_HEADER_BYTES + entry.length;
      this.#ends.set(entry.segment, Math.max(this.#ends.get(entry.segment) ?? 0, end));
    }
    this.#add(entry.segment, sign * recordSize(RECORD_PUT, entry.length));
    if (entry.touchSegment !== 0) this.#add(entry.touchSegment, sign * recordSize(RECORD_TOUCH, 0));
  }

  #add(segment: number, bytes: number): void {
    this.#live.set(segment, (this.#live.get(segment) ?? 0) + bytes);
    this.#liveBytes += bytes;
  }
}

const PAUSE_ENTRIES = 4096;
