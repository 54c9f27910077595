/** The bytes of one file in memory: chunks, so that holes cost nothing and growth copies nothing. */
const CHUNK_BYTES = 256 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

export class MemoryFileContent {
  readonly #chunks = new Map<number, Buffer>();
  size = 0;

  get allocatedBytes(): number {
    return Math.min(this.#chunks.size * CHUNK_BYTES, this.size);
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
    if (size < this.size) {
      const last = Math.floor(size / CHUNK_BYTES);
      for (const index of this.#chunks.keys()) if (index > last) this.#chunks.delete(index);
      this.#chunks.get(last)?.fill(0, size % CHUNK_BYTES);
    }
    this.size = size;
  }
}
