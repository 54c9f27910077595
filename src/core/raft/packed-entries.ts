import { assert, defined } from '../../base/assert.ts';
import type { EntryType, RaftEntry } from '../../gen/ringfs/v1/raft.ts';

/** Entries in one chunk; a chunk is dropped as a whole. */
const CHUNK_ENTRIES = 256;

/** Consecutive entries side by side in memory, an object for all of them. */
interface Chunk {
  readonly terms: Float64Array;
  readonly types: Uint8Array;
  /** Of each entry's data in `data`. */
  readonly ends: Uint32Array;
  readonly data: Uint8Array;
}

/**
 * The settled part of the log: entries that will not change any more and are seldom read again, only for a follower that is behind. A hundred
 * thousand of them as objects would cost every collection of the JavaScript heap a tenth of a second.
 */
export class PackedEntries {
  #chunks: Chunk[] = [];
  /** Index before the first entry of the first chunk. */
  #origin: number;
  /** Index before the first entry that is still there. */
  #start: number;

  constructor(start: number) {
    this.#origin = start;
    this.#start = start;
  }

  /** How many entries `append` takes at a time. */
  static get chunkEntries(): number {
    return CHUNK_ENTRIES;
  }

  get lastIndex(): number {
    return this.#origin + this.#chunks.length * CHUNK_ENTRIES;
  }

  /** Exactly one chunk of entries, which follow those that are there. */
  append(entries: readonly RaftEntry[]): void {
    assert(entries.length === CHUNK_ENTRIES, 'entries are packed by the chunk');
    let size = 0;
    for (const entry of entries) size += entry.data.length;
    const chunk: Chunk = {
      terms: new Float64Array(CHUNK_ENTRIES),
      types: new Uint8Array(CHUNK_ENTRIES),
      ends: new Uint32Array(CHUNK_ENTRIES),
      data: new Uint8Array(size),
    };
    let end = 0;
    let index = this.lastIndex;
    for (const [at, entry] of entries.entries()) {
      assert(entry.index === ++index, 'packed entries have no gaps');
      chunk.data.set(entry.data, end);
      end += entry.data.length;
      chunk.terms[at] = entry.term;
      chunk.types[at] = entry.type;
      chunk.ends[at] = end;
    }
    this.#chunks.push(chunk);
  }

  /** Undefined: not there. */
  term(index: number): number | undefined {
    return this.#has(index) ? this.#chunkOf(index).terms[this.#slotOf(index)] : undefined;
  }

  /** A copy of the entry, whose data is a view of the chunk's. Undefined: not there. */
  entry(index: number): RaftEntry | undefined {
    if (!this.#has(index)) return undefined;
    const chunk = this.#chunkOf(index);
    const slot = this.#slotOf(index);
    const data = chunk.data.subarray(slot === 0 ? 0 : chunk.ends[slot - 1], chunk.ends[slot]);
    return { term: chunk.terms[slot]!, index, type: chunk.types[slot] as EntryType, data };
  }

  /** Forgets entries up to and including `index`. */
  dropTo(index: number): void {
    if (index <= this.#start) return;
    assert(index <= this.lastIndex, 'more is dropped than is there');
    this.#start = index;
    const chunks = Math.floor((index - this.#origin) / CHUNK_ENTRIES);
    this.#chunks = this.#chunks.slice(chunks);
    this.#origin += chunks * CHUNK_ENTRIES;
  }

  #has(index: number): boolean {
    return index > this.#start && index <= this.lastIndex;
  }

  #chunkOf(index: number): Chunk {
    return defined(
      this.#chunks[Math.floor((index - this.#origin - 1) / CHUNK_ENTRIES)],
      'a chunk of entries',
    );
  }

  #slotOf(index: number): number {
    return (index - this.#origin - 1) % CHUNK_ENTRIES;
  }
}
