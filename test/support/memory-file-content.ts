import { DataRanges } from './data-ranges.ts';

/** The bytes of one file in memory: chunks, so that holes cost nothing and growth copies nothing. */
const CHUNK_BYTES = 256 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

export class MemoryFileContent {
  readonly #chunks = new Map<number, Buffer>();
  readonly #data = new DataRanges();
  size = 0;

  get allocatedBytes(): number {
    return this.#data.bytes;
  }

  read(offset: number, length: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    const end = Math.min(offset + length, this.size);
    let at = offset;
    while (at < end) {
      const within = at % CHUNK_BYTES;
      const count = Math.min(CHUNK_BYTES - within, end - at);
      const chunk = this.#chunks.get(Math.floor(at / CHUNK_BYTES)) ?? ZEROS;
      pieces.push(chunk.subarray(within, within + count));
      at += count;
    }
    return pieces;
  }

  write(offset: number, data: Uint8Array): void {
    this.#data.add(offset, offset + data.length);
    let done = 0;
    while (done < data.length) {
      const at = offset + done;
      const index = Math.floor(at / CHUNK_BYTES);
      const within = at % CHUNK_BYTES;
      const count = Math.min(CHUNK_BYTES - within, data.length - done);
      let chunk = this.#chunks.get(index);
      if (chunk === undefined) {
        chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
        chunk.fill(0, 0, within);
        chunk.fill(0, within + count);
        this.#chunks.set(index, chunk);
      }
      chunk.set(data.subarray(done, done + count), within);
      done += count;
    }
    this.size = Math.max(this.size, offset + data.length);
  }

  truncate(size: number): void {
    if (size < this.size) this.punch(size, this.size);
    this.size = size;
  }

  /** Makes [from, to) a hole. */
  punch(from: number, to: number): void {
    this.#data.remove(from, to);
    for (const [index, chunk] of this.#chunks) {
      const start = index * CHUNK_BYTES;
      if (start >= to || start + CHUNK_BYTES <= from) continue;
      if (from <= start && to >= start + CHUNK_BYTES) this.#chunks.delete(index);
      else chunk.fill(0, Math.max(0, from - start), Math.min(CHUNK_BYTES, to - start));
    }
  }

  /** The first byte from `offset` on that is data, or in a hole; undefined: there is none before the end. */
  seek(offset: number, whence: 'data' | 'hole'): number | undefined {
    const [next] = this.#data.between(offset, this.size);
    if (whence === 'data') return next?.from;
    return next === undefined || next.from > offset ? offset : next.to;
  }

  /** Replaces [to, to + length) by `length` bytes from `from` on, holes included. The ranges do not overlap. */
  copy(source: MemoryFileContent, from: number, to: number, length: number): void {
    this.punch(to, to + length);
    for (const range of source.#data.between(from, from + length)) {
      let at = range.from - from + to;
      for (const piece of source.read(range.from, range.to - range.from)) {
        this.write(at, piece);
        at += piece.length;
      }
    }
    this.size = Math.max(this.size, to + length);
  }
}
