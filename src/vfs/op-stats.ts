export interface OpCounters {
  count: number;
  errors: number;
  totalMs: number;
  maxMs: number;
}

/** Counts and latencies by operation. */
export class OpStats {
  readonly #ops = new Map<string, OpCounters>();

  note(op: string, durationMs: number, failed: boolean): void {
    let counters = this.#ops.get(op);
    if (!counters) {
      counters = { count: 0, errors: 0, totalMs: 0, maxMs: 0 };
      this.#ops.set(op, counters);
    }
    counters.count++;
    if (failed) counters.errors++;
    counters.totalMs += durationMs;
    if (durationMs > counters.maxMs) counters.maxMs = durationMs;
  }

  snapshot(): Record<string, Readonly<OpCounters>> {
    return Object.fromEntries([...this.#ops].map(([op, counters]) => [op, { ...counters }]));
  }
}
