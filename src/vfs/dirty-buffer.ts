import { assert } from '../base/assert.ts';

/** A contiguous range of written bytes. `data` may be longer than `length`: room for an append. */
export interface Run {
  offset: number;
  length: number;
  data: Uint8Array;
}

/** Bytes of a file, as a view that must not be changed. */
export interface Piece {
  readonly offset: number;
  readonly data: Uint8Array;
}

interface Window {
  /** Sorted and disjoint; neighbours may touch. */
  runs: Run[];
  bytes: number;
}

const FIRST_CAPACITY_BYTES = 4096;
const GROWTH = 4;

/**
 * Bytes written to a file and not yet flushed, as exact byte ranges. A later write replaces an earlier one. Ranges
 * are kept per aligned window of the size of a block, so that a sequential writer's window becomes a block as it is: the
 * bytes are copied once, on the way in.
 */
export class DirtyBuffer {
  readonly #windowBytes: number;
  readonly #windows = new Map<number, Window>();
  #full = 0;
  #bytes = 0;
  #runs = 0;
  #end = 0;

  constructor(windowBytes: number) {
    this.#windowBytes = windowBytes;
  }

  /** Distinct bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  get runCount(): number {
    return this.#runs;
  }

  /** One past the highest byte written. */
  get end(): number {
    return this.#end;
  }

  get empty(): boolean {
    return this.#bytes === 0;
  }

  /** There is a window with every byte written. */
  get hasFullWindows(): boolean {
    return this.#full > 0;
  }

  /** Offset of the lowest byte; 0 when empty. */
  start(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const index of this.#windows.keys()) if (index < first) first = index;
    return this.#windows.get(first)?.runs[0]?.offset ?? 0;
  }

  /**
   * Copies `data` in. `streaming`: more is coming behind it, so whole windows are allocated at once. Returns how many bytes the
   * buffer grew by, which is less than data.length when it replaced some.
   */
  write(offset: number, data: Uint8Array, streaming = false): number {
    const before = this.#bytes;
    let at = 0;
    while (at < data.length) {
      const position = offset + at;
      const index = Math.floor(position / this.#windowBytes);
      const windowEnd = (index + 1) * this.#windowBytes;
      const length = Math.min(data.length - at, windowEnd - position);
      this.#writeWindow(index, position, data.subarray(at, at + length), windowEnd, streaming);
      at += length;
    }
    this.#end = Math.max(this.#end, offset + data.length);
    return this.#bytes - before;
  }

  #writeWindow(index: number, offset: number, data: Uint8Array, windowEnd: number, streaming: boolean): void {
    let window = this.#windows.get(index);
    if (!window) {
      window = { runs: [], bytes: 0 };
      this.#windows.set(index, window);
    }
    const wasFull = window.bytes === this.#windowBytes;
    const bytesBefore = window.bytes;
    const runsBefore = window.runs.length;
    const room = windowEnd - offset;
    writeRun(window, offset, data, streaming ? room : Math.min(room, FIRST_CAPACITY_BYTES), windowEnd);
    this.#bytes += window.bytes - bytesBefore;
    this.#runs += window.runs.length - runsBefore;
    if (!wasFull && window.bytes === this.#windowBytes) this.#full++;
  }

  /** Moves the windows that are fully written into a buffer of their own. */
  takeFullWindows(): DirtyBuffer {
    return this.#split((window) => window.bytes === this.#windowBytes);
  }

  /** Moves windows into a buffer of their own, lowest first, until it has `runsMax` ranges or everything; at least one. */
  takeRuns(runsMax: number): DirtyBuffer {
    let runs = 0;
    return this.#split((window) => {
      const take = runs === 0 || runs + window.runs.length <= runsMax;
      runs += window.runs.length;
      return take;
    });
  }

  /** Moves the first `runsMax` ranges into a buffer of their own. */
  takeFirst(runsMax: number): DirtyBuffer {
    const taken = new DirtyBuffer(this.#windowBytes);
    for (const index of this.#indices()) {
      const left = runsMax - taken.#runs;
      if (left <= 0) break;
      const window = this.#windows.get(index)!;
      this.#add(window, -1);
      const part = windowOf(window.runs.splice(0, left));
      taken.#windows.set(index, part);
      taken.#add(part, 1);
      if (window.runs.length === 0) this.#windows.delete(index);
      else {
        window.bytes -= part.bytes;
        this.#add(window, 1);
      }
    }
    this.#end = this.#lastEnd();
    taken.#end = taken.#lastEnd();
    return taken;
  }

  #split(take: (window: Window) => boolean): DirtyBuffer {
    const taken = new DirtyBuffer(this.#windowBytes);
    for (const index of this.#indices()) {
      const window = this.#windows.get(index)!;
      if (!take(window)) continue;
      this.#windows.delete(index);
      taken.#windows.set(index, window);
      taken.#add(window, 1);
      this.#add(window, -1);
    }
    this.#end = this.#lastEnd();
    taken.#end = taken.#lastEnd();
    return taken;
  }

  #add(window: Window, sign: 1 | -1): void {
    this.#bytes += sign * window.bytes;
    this.#runs += sign * window.runs.length;
    if (window.bytes === this.#windowBytes) this.#full += sign;
  }

  #lastEnd(): number {
    let last = -1;
    for (const index of this.#windows.keys()) last = Math.max(last, index);
    const run = this.#windows.get(last)?.runs.at(-1);
    return run ? run.offset + run.length : 0;
  }

  #indices(): number[] {
    return [...this.#windows.keys()].sort((a, b) => a - b);
  }

  /** All ranges in order of offset. */
  *runs(): IterableIterator<Run> {
    for (const index of this.#indices()) yield* this.#windows.get(index)!.runs;
  }

  /** The written parts of [from, to), in order of offset, as views. */
  pieces(from: number, to: number): Piece[] {
    const out: Piece[] = [];
    if (from >= to || this.#bytes === 0) return out;
    const first = Math.floor(from / this.#windowBytes);
    const last = Math.floor((to - 1) / this.#windowBytes);
    const indices =
      last - first < this.#windows.size
        ? Array.from({ length: last - first + 1 }, (_, i) => first + i)
        : this.#indices().filter((i) => i >= first && i <= last);
    for (const index of indices) {
      const runs = this.#windows.get(index)?.runs;
      if (!runs) continue;
      for (let i = firstEndingAfter(runs, from); i < runs.length && runs[i]!.offset < to; i++) {
        const run = runs[i]!;
        const start = Math.max(from, run.offset);
        const end = Math.min(to, run.offset + run.length);
        out.push({ offset: start, data: run.data.subarray(start - run.offset, end - run.offset) });
      }
    }
    return out;
  }
}

function windowOf(runs: Run[]): Window {
  let bytes = 0;
  for (const run of runs) bytes += run.length;
  return { runs, bytes };
}

/** Index of the first run that ends after `offset`. */
function firstEndingAfter(runs: readonly Run[], offset: number): number {
  let low = 0;
  let high = runs.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = runs[middle]!;
    if (run.offset + run.length > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

function writeRun(
  window: Window,
  offset: number,
  data: Uint8Array,
  capacityMin: number,
  windowEnd: number,
): void {
  const { runs } = window;
  const end = offset + data.length;
  // The run that holds or ends at `offset`: most writes go into it or append to it.
  let at = firstEndingAfter(runs, offset);
  const touching = at > 0 && runs[at - 1]!.offset + runs[at - 1]!.length === offset;
  const holder = runs[at] && runs[at]!.offset <= offset ? runs[at] : touching ? runs[at - 1] : undefined;
  if (holder) {
    const holderEnd = holder.offset + holder.length;
    if (end <= holderEnd) {
      holder.data.set(data, offset - holder.offset);
      return;
    }
    const next = runs[holder === runs[at] ? at + 1 : at];
    if (!next || next.offset >= end) {
      growRun(holder, end - holder.offset, capacityMin, windowEnd);
      holder.data.set(data, offset - holder.offset);
      window.bytes += end - holderEnd;
      return;
    }
  }
  // It covers runs, some of them partly: cut those, and put a run of its own in between.
  if (runs[at] && runs[at]!.offset < offset) {
    const head = runs[at]!;
    window.bytes -= head.offset + head.length - offset;
    head.length = offset - head.offset;
    at++;
  }
  let stop = at;
  while (stop < runs.length && runs[stop]!.offset + runs[stop]!.length <= end) {
    window.bytes -= runs[stop++]!.length;
  }
  const tail = runs[stop];
  if (tail && tail.offset < end) {
    const cut = end - tail.offset;
    tail.offset = end;
    tail.length -= cut;
    tail.data = tail.data.subarray(cut);
    window.bytes -= cut;
  }
  const fresh: Run = { offset, length: 0, data: new Uint8Array(Math.max(data.length, capacityMin)) };
  fresh.data.set(data);
  fresh.length = data.length;
  runs.splice(at, stop - at, fresh);
  window.bytes += data.length;
}

function growRun(run: Run, length: number, capacityMin: number, windowEnd: number): void {
  assert(run.offset + length <= windowEnd, 'a run crosses its window');
  if (length > run.data.length) {
    const capacity = Math.min(
      windowEnd - run.offset,
      Math.max(length, run.data.length * GROWTH, Math.min(capacityMin, windowEnd - run.offset)),
    );
    const bigger = new Uint8Array(capacity);
    bigger.set(run.data.subarray(0, run.length));
    run.data = bigger;
  }
  run.length = length;
}
