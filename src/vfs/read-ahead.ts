import { VFS_READ_AHEAD_SLACK_BYTES } from '../base/limits.ts';
import type { Range } from './overlay.ts';

/** Finds out whether a handle is read sequentially, and what to fetch ahead of it: a growing window of whole blocks. */
export class ReadAhead {
  readonly #blockSizeBytes: number;
  readonly #blocksMax: number;
  #expected = 0;
  #requests = 0;
  #windowBlocks = 0;
  #fetchedTo = 0;

  constructor(blockSizeBytes: number, blocksMax: number) {
    this.#blockSizeBytes = blockSizeBytes;
    this.#blocksMax = blocksMax;
  }

  /** Notes a read; returns the range to fetch ahead, if any. */
  observe(offset: number, length: number): Range | undefined {
    const end = offset + length;
    const slack = Math.min(VFS_READ_AHEAD_SLACK_BYTES, this.#blockSizeBytes);
    if (offset > this.#expected + slack || end < this.#expected - slack) {
      this.#expected = end;
      this.#requests = 1;
      this.#windowBlocks = 0;
      this.#fetchedTo = end;
      return undefined;
    }
    this.#expected = Math.max(this.#expected, end);
    this.#requests++;
    // One request may be a look at the header; the second one in line is a reader.
    if (this.#requests < 2 || this.#blocksMax === 0) return undefined;
    const ahead = this.#fetchedTo - this.#expected;
    if (this.#windowBlocks > 0 && ahead > (this.#windowBlocks * this.#blockSizeBytes) / 2) return undefined;
    this.#windowBlocks = Math.min(this.#blocksMax, Math.max(2, this.#windowBlocks * 2));
    const from = Math.max(this.#fetchedTo, this.#expected);
    const to = this.#expected + this.#windowBlocks * this.#blockSizeBytes;
    if (to <= from) return undefined;
    this.#fetchedTo = to;
    return { from, to };
  }
}
