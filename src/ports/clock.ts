/** Time, as a parameter. Only src/io/os and the simulator implement it. */

export interface Instant {
  readonly sec: number;
  readonly nsec: number;
}

export interface TimerHandle {
  cancel(): void;
}

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start, with a fraction. */
  nowMs(): number;
  /** Wall-clock time. May jump. */
  wallTime(): Instant;
}

export interface Timers extends Clock {
  /** Calls back once after at least `delayMs`. Does not keep the process alive. */
  after(delayMs: number, callback: () => void): TimerHandle;
  /** Resolves after `delayMs`; rejects with the signal's reason when aborted. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}
