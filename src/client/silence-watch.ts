import { NODE_SILENCE_MS } from '../base/limits.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';

export interface SilenceHooks {
  /** Whether the other side shows that it lives, on a way of its own. Never rejects. */
  readonly probe: () => Promise<boolean>;
  /** It has answered nothing for NODE_SILENCE_MS, and the probe neither. */
  readonly onSilent: () => void;
}

/**
 * Notices a process that stands still, or a machine that vanished without a word, while calls wait for it. One that is only slow
 * (with a large block on a slow disk) answers the probe, and is waited for.
 */
export class SilenceWatch {
  readonly #timers: Timers;
  readonly #hooks: SilenceHooks;
  #waiting = 0;
  #heardMs = 0;
  #timer: TimerHandle | undefined;
  #looking = false;
  #closed = false;

  constructor(timers: Timers, hooks: SilenceHooks) {
    this.#timers = timers;
    this.#hooks = hooks;
  }

  callBegins(): void {
    if (this.#waiting === 0) this.#heardMs = this.#timers.nowMs();
    this.#waiting++;
    this.#arm();
  }

  callEnds(answered: boolean): void {
    this.#waiting--;
    if (answered) this.#heardMs = this.#timers.nowMs();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** The timer is left to run out when nobody waits any more: most calls are much shorter. */
  #arm(): void {
    if (this.#closed || this.#looking || this.#timer !== undefined) return;
    const silentMs = this.#timers.nowMs() - this.#heardMs;
    this.#timer = this.#timers.after(Math.max(1, NODE_SILENCE_MS - silentMs), () => {
      this.#timer = undefined;
      if (this.#waiting === 0) return;
      if (this.#timers.nowMs() - this.#heardMs < NODE_SILENCE_MS) this.#arm();
      else void this.#look();
    });
  }

  async #look(): Promise<void> {
    const heardBeforeMs = this.#heardMs;
    this.#looking = true;
    const alive = await this.#hooks.probe();
    this.#looking = false;
    if (this.#closed || this.#waiting === 0) return;
    if (alive) this.#heardMs = this.#timers.nowMs();
    else if (this.#heardMs === heardBeforeMs) this.#hooks.onSilent();
    if (this.#waiting > 0) this.#arm();
  }
}
