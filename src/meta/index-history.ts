/** Samples kept: bounds the error of an answer to a small part of the span. */
const SAMPLES_MAX = 512;

/** Which commit index had been applied at which time, so that ages can be told in commit indexes. */
export class IndexHistory {
  readonly #spanMs: number;
  readonly #samples: { readonly atMs: number; readonly index: number }[] = [];

  /** Answers reach `spanMs` back. */
  constructor(spanMs: number) {
    this.#spanMs = spanMs;
  }

  note(nowMs: number, index: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && nowMs - last.atMs < this.#spanMs / SAMPLES_MAX) return;
    this.#samples.push({ atMs: nowMs, index });
    // The oldest sample is the newest one at or before the beginning of the span.
    while ((this.#samples[1]?.atMs ?? nowMs) <= nowMs - this.#spanMs) this.#samples.shift();
  }

  /** An index that was applied at that time or before; undefined: not known. */
  before(atMs: number): number | undefined {
    return this.#samples.findLast((sample) => sample.atMs <= atMs)?.index;
  }
}
