import type { ReadState } from '../../core/raft/types.ts';

interface Caller {
  readonly resolve: (index: number) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Shares heartbeat rounds between readers. A reader may only use a round that starts after it asked, so those who come
 * while a round is on the way wait for the next one together.
 */
export class ReadRounds {
  readonly #start: (context: number) => void;
  #nextContext = 1;
  #current: { readonly context: number; readonly callers: readonly Caller[] } | undefined;
  #waiting: Caller[] = [];

  /** `start` asks the core for a read index under a context. */
  constructor(start: (context: number) => void) {
    this.#start = start;
  }

  /** The index that must be applied before reading. */
  join(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (this.#current === undefined) this.#begin();
    });
  }

  /** `refused` makes the error for readers whose round the core gave up. */
  onReadStates(states: readonly ReadState[], refused: () => Error): void {
    for (const state of states) {
      const round = this.#current;
      if (round === undefined || round.context !== state.context) continue;
      this.#current = undefined;
      for (const caller of round.callers) {
        if (state.index === undefined) caller.reject(refused());
        else caller.resolve(state.index);
      }
      if (this.#waiting.length > 0) this.#begin();
    }
  }

  rejectAll(error: Error): void {
    const callers = [...(this.#current?.callers ?? []), ...this.#waiting];
    this.#current = undefined;
    this.#waiting = [];
    for (const caller of callers) caller.reject(error);
  }

  #begin(): void {
    this.#current = { context: this.#nextContext++, callers: this.#waiting };
    this.#waiting = [];
    this.#start(this.#current.context);
  }
}
