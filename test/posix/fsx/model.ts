/** What a file must contain, and which operation put each byte there. Positions count from the base of the exerciser. */
export class FsxModel {
  size = 0;
  readonly #content: Buffer;
  readonly #writers: Uint32Array;

  constructor(sizeMax: number) {
    this.#content = Buffer.alloc(sizeMax);
    this.#writers = new Uint32Array(sizeMax);
  }

  slice(from: number, to: number): Buffer {
    return this.#content.subarray(from, Math.min(to, this.size));
  }

  put(operation: number, at: number, data: Uint8Array): void {
    if (data.length === 0) return;
    this.#grow(operation, at + data.length);
    this.#content.set(data, at);
    this.#writers.fill(operation, at, at + data.length);
  }

  /** What another range of the file holds, also where the two overlap. */
  copy(operation: number, from: number, to: number, length: number): void {
    this.put(operation, to, Buffer.from(this.#content.subarray(from, from + length)));
  }

  /** Makes a range zero, as far as it is in the file. */
  zero(operation: number, from: number, to: number): void {
    const end = Math.min(to, this.size);
    if (from >= end) return;
    this.#content.fill(0, from, end);
    this.#writers.fill(operation, from, end);
  }

  resize(operation: number, size: number): void {
    // What is beyond the end is always zero, so that growing shows a hole.
    if (size < this.size) this.#content.fill(0, size, this.size);
    const [from, to] = size < this.size ? [size, this.size] : [this.size, size];
    this.#writers.fill(operation, from, to);
    this.size = size;
  }

  #grow(operation: number, size: number): void {
    if (size > this.size) this.resize(operation, size);
  }

  /** Undefined when `got` is what reads at `from` must give, as far as it goes; else what is wrong. */
  difference(from: number, got: Buffer): { readonly at: number; readonly text: string } | undefined {
    const expected = this.slice(from, from + got.length);
    if (expected.equals(got)) return undefined;
    let at = 0;
    while (at < expected.length && expected[at] === got[at]) at++;
    if (at === expected.length) {
      return { at: from + at, text: `${got.length - at} bytes beyond the end at ${this.size}` };
    }
    let wrong = 0;
    for (let i = at; i < got.length; i++) if (got[i] !== expected[i]) wrong++;
    const hex = (bytes: Buffer): string => bytes.subarray(at, at + 16).toString('hex');
    return {
      at: from + at,
      text: `${wrong} bytes differ; ${hex(got)}.. instead of ${hex(expected)}.., last set by operation ${this.#writers[from + at]}`,
    };
  }
}
