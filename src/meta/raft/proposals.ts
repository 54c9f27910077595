import { assert } from '../../base/assert.ts';
import type { RaftEntry } from '../../gen/ringfs/v1/raft.ts';
import { type Applied, ProposalLostError } from '../replica.ts';

interface Pending {
  readonly term: number;
  readonly resolve: (applied: Applied) => void;
  readonly reject: (error: Error) => void;
}

/** Proposals of this leader by the index that the log gave them. */
export class Proposals {
  readonly #pending = new Map<number, Pending>();

  get size(): number {
    return this.#pending.size;
  }

  /** Resolves when the entry proposed at `index` in `term` has been applied. Rejects with ProposalLostError. */
  wait(index: number, term: number): Promise<Applied> {
    return new Promise((resolve, reject) => {
      // An older leader's proposal at the same index has been overwritten.
      this.#lose(index);
      this.#pending.set(index, { term, resolve, reject });
    });
  }

  /** `entries` were applied, with these outcomes for those that carried a command. */
  settle(entries: readonly RaftEntry[], outcomes: readonly Applied[]): void {
    if (this.#pending.size === 0) return;
    for (const applied of outcomes) {
      const pending = this.#pending.get(applied.index);
      if (pending === undefined || pending.term !== applied.term) continue;
      this.#pending.delete(applied.index);
      pending.resolve(applied);
    }
    // Whatever was proposed at these indexes and is not what was committed there is gone.
    for (const entry of entries) this.#lose(entry.index);
  }

  /** Leadership is gone: the entries may still be committed by the next leader, or not. */
  loseAll(): void {
    for (const index of [...this.#pending.keys()]) this.#lose(index);
    assert(this.#pending.size === 0, 'no proposal is left waiting');
  }

  #lose(index: number): void {
    const pending = this.#pending.get(index);
    if (pending === undefined) return;
    this.#pending.delete(index);
    pending.reject(new ProposalLostError(`leadership was lost while entry ${index} was in flight`));
  }
}
