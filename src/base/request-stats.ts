/** Counts and latencies of requests, cheap enough for every one of them: a few additions, nothing is allocated. */

/** Upper bounds of the buckets, milliseconds, inclusive. What took longer than the last is in one more. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000,
];

export interface LatencySnapshot {
  /** One per bound, and the last for everything above; not cumulative. */
  readonly counts: readonly number[];
  readonly sumMs: number;
}

export class LatencyHistogram {
  readonly #counts: number[] = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);
  #sumMs = 0;

  note(durationMs: number): void {
    let bucket = 0;
    while (bucket < LATENCY_BOUNDS_MS.length && durationMs > (LATENCY_BOUNDS_MS[bucket] as number)) bucket++;
    (this.#counts[bucket] as number)++;
    this.#sumMs += durationMs;
  }

  snapshot(): LatencySnapshot {
    return { counts: [...this.#counts], sumMs: this.#sumMs };
  }
}

export interface RequestSnapshot {
  readonly kind: string;
  /** How many requests ended how. */
  readonly outcomes: Readonly<Record<string, number>>;
  readonly latency: LatencySnapshot;
}

interface Counters {
  readonly outcomes: Map<string, number>;
  readonly latency: LatencyHistogram;
}

/** Requests by kind and outcome. Both must be words of the program, never of its users: each is kept for good. */
export class RequestStats {
  readonly #kinds = new Map<string, Counters>();

  note(kind: string, durationMs: number, outcome: string): void {
    let counters = this.#kinds.get(kind);
    if (counters === undefined) {
      counters = { outcomes: new Map(), latency: new LatencyHistogram() };
      this.#kinds.set(kind, counters);
    }
    counters.outcomes.set(outcome, (counters.outcomes.get(outcome) ?? 0) + 1);
    counters.latency.note(durationMs);
  }

  snapshot(): RequestSnapshot[] {
    return [...this.#kinds].map(([kind, { outcomes, latency }]) => ({
      kind,
      outcomes: Object.fromEntries(outcomes),
      latency: latency.snapshot(),
    }));
  }
}
