import type { Time } from '../gen/ringfs/v1/namespace.ts';
import type { Clock, Instant } from '../ports/clock.ts';

/** Round trips considered; the clocks drift little in the four seconds that they span. */
const SAMPLES_MAX = 16;

interface Sample {
  readonly roundTripMs: number;
  readonly offsetMs: number;
}

/**
 * The cluster's time, from the times that the leader puts into its replies: the reply with the shortest round trip says
 * most precisely how far the local clock is off (as NTP does it, RFC 5905 section 10). Never runs backwards.
 */
export class ClusterTime {
  readonly #clock: Clock;
  #samples: Sample[] = [];
  #offsetMs: number | undefined;
  #lastMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A server said `time` somewhere between `sentMs` and `receivedMs` of the local monotonic clock. */
  sample(time: Time, sentMs: number, receivedMs: number): void {
    const serverMs = time.sec * 1000 + time.nsec / 1e6;
    this.#samples.push({
      roundTripMs: receivedMs - sentMs,
      offsetMs: serverMs - (sentMs + receivedMs) / 2,
    });
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift();
    let best = this.#samples[0];
    for (const s of this.#samples) if (best === undefined || s.roundTripMs < best.roundTripMs) best = s;
    this.#offsetMs = best?.offsetMs;
  }

  /** Another server's clock counts from now on. */
  newServer(): void {
    this.#samples = [];
  }

  now(): Instant {
    const ms = this.#offsetMs === undefined ? this.#wallMs() : this.#clock.nowMs() + this.#offsetMs;
    this.#lastMs = Math.max(this.#lastMs, ms);
    const sec = Math.floor(this.#lastMs / 1000);
    return { sec, nsec: Math.min(999_999_999, Math.floor((this.#lastMs - sec * 1000) * 1e6)) };
  }

  #wallMs(): number {
    const wall = this.#clock.wallTime();
    return wall.sec * 1000 + wall.nsec / 1e6;
  }
}
