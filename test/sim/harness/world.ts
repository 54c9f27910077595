import { type Random, seededRandom } from '../../../src/base/random.ts';
import type { Instant, TimerHandle, Timers } from '../../../src/ports/clock.ts';
import type { Logger } from '../../../src/ports/logger.ts';
import { sleepBy } from '../../support/timer-sleep.ts';
import { EventQueue } from '../raft/event-queue.ts';

const LINES_KEPT = 400;
const FNV_PRIME = 0x01000193;

/** What a checker says. `check` names it. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly check: string;
  constructor(check: string, message: string, options?: { cause?: unknown }) {
    super(`${check}: ${message}`, options);
    this.check = check;
  }
}

/** What all parts of one run share: time, luck, the trace and the verdict. */
export class World {
  readonly seed: number;
  readonly queue = new EventQueue();
  readonly #only: readonly string[] | undefined;
  readonly #lines: string[] = [];
  readonly #onTrace: ((line: string) => void) | undefined;
  #hashes: [number, number] = [0x811c9dc5, 0x01234567];
  #moment = 0;
  /** Nothing new is broken any more. */
  healing = false;
  /** The first thing that a checker found. */
  violation: Violation | undefined;

  constructor(
    seed: number,
    more: { readonly only?: readonly string[]; readonly onTrace?: (line: string) => void } = {},
  ) {
    this.seed = seed;
    this.#only = more.only;
    this.#onTrace = more.onTrace;
  }

  /** Luck of its own for each purpose, so that a run without one kind of fault is otherwise much the same. */
  random(purpose: string): Random {
    let hash = (this.seed ^ 0x5bd1e995) >>> 0;
    for (let i = 0; i < purpose.length; i++) {
      hash = Math.imul(hash ^ purpose.charCodeAt(i), FNV_PRIME) >>> 0;
      hash = (hash ^ (hash >>> 13)) >>> 0;
    }
    return seededRandom(hash);
  }

  get nowMs(): number {
    return this.queue.now;
  }

  /** A number greater than every one before. */
  moment(): number {
    this.#moment += 1;
    return this.#moment;
  }

  fail(violation: Violation): void {
    if (this.#only?.includes(violation.check) === false) return;
    if (this.violation === undefined) this.trace(`VIOLATION ${violation.message}`);
    this.violation ??= violation;
  }

  /** Part of the digest: the same seed and options give the same lines. */
  trace(what: string): void {
    const line = `${this.queue.now.toFixed(2)} ${what}`;
    let [a, b] = this.#hashes;
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i);
      a = Math.imul(a ^ code, FNV_PRIME);
      b = Math.imul(b ^ code, 0x85ebca6b) ^ (b >>> 15);
    }
    this.#hashes = [a, b];
    this.#onTrace?.(line);
    this.#lines.push(line);
    if (this.#lines.length > 2 * LINES_KEPT) this.#lines.splice(0, LINES_KEPT);
  }

  get lastLines(): readonly string[] {
    return this.#lines.slice(-LINES_KEPT);
  }

  digest(): string {
    return this.#hashes.map((hash) => (hash >>> 0).toString(16).padStart(8, '0')).join('');
  }
}

/** One life of a process: its clock, and whether it can do anything at this moment. Nothing of a dead one ever runs again. */
export class SimProcess implements Timers {
  readonly world: World;
  readonly name: string;
  readonly #rate: number;
  readonly #bornMs: number;
  #wallMs: number;
  #pausedUntilMs = 0;
  alive = true;

  constructor(world: World, name: string, clock: { readonly rate: number; readonly wallMs: number }) {
    this.world = world;
    this.name = name;
    this.#rate = clock.rate;
    this.#wallMs = clock.wallMs;
    this.#bornMs = world.nowMs;
  }

  /** The event loop stands still; clocks go on. */
  pause(ms: number): void {
    this.#pausedUntilMs = Math.max(this.#pausedUntilMs, this.world.nowMs + ms);
  }

  get paused(): boolean {
    return this.#pausedUntilMs > this.world.nowMs;
  }

  jump(ms: number): void {
    this.#wallMs += ms;
  }

  /** Runs `action` as soon as this process can do anything; never when it is dead by then. */
  run(action: () => void): void {
    if (!this.alive) return;
    const { queue } = this.world;
    if (this.#pausedUntilMs > queue.now) queue.after(this.#pausedUntilMs - queue.now, () => this.run(action));
    else action();
  }

  nowMs(): number {
    return 1_000 + (this.world.nowMs - this.#bornMs) * this.#rate;
  }

  wallTime(): Instant {
    const ms = 1_700_000_000_000 + this.#wallMs + this.nowMs();
    const sec = Math.floor(ms / 1000);
    return { sec, nsec: Math.floor((ms - sec * 1000) * 1e6) };
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    let cancelled = false;
    // Never early, and never by less than this: whoever asks again for the rest would ask forever.
    const microseconds = Math.ceil((Math.max(0, delayMs) / this.#rate) * 1_000);
    const { queue } = this.world;
    const event = queue.after(microseconds / 1_000, () =>
      this.run(() => {
        if (!cancelled) callback();
      }),
    );
    return {
      cancel: () => {
        cancelled = true;
        queue.cancel(event);
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepBy(this, delayMs, signal);
  }
}

/** Traces what is worth a warning. A broken assertion of the product is a violation. */
export class SimLogger implements Logger {
  readonly #process: SimProcess;
  constructor(process: SimProcess) {
    this.#process = process;
  }
  trace(): void {}
  debug(): void {}
  info(): void {}
  warn(fields: object, message: string): void {
    this.#add(fields, message);
  }
  error(fields: object, message: string): void {
    this.#add(fields, message);
  }
  fatal(fields: object, message: string): void {
    this.#add(fields, message);
  }
  child(): Logger {
    return this;
  }
  #add(fields: object, message: string): void {
    const { world, name, alive } = this.#process;
    if (!alive) return;
    const { err = (fields as { error?: unknown }).error } = fields as { err?: unknown };
    world.trace(`${name} logs: ${message}${err instanceof Error ? `: ${err.message}` : ''}`);
    if (
      message.startsWith('the rows of the replicas') ||
      (err instanceof Error && err.name === 'StateDivergedError')
    ) {
      const what = err instanceof Error ? err.message : JSON.stringify(fields);
      world.fail(new Violation('state-alarm', `${name}: ${message}: ${what}`));
    }
    if (err instanceof Error && (err.name === 'AssertionError' || err instanceof TypeError)) {
      world.fail(new Violation('assertion', `${name}: ${message}: ${err.stack}`, { cause: err }));
    }
  }
}
