import type { SequentialModel } from './linearizability.ts';

export type LockInput =
  /** `refused`: somebody else has it. A lock that is waited for is one operation from its request to its grant. */
  | { readonly kind: 'lock'; readonly owner: string; readonly exclusive: boolean }
  | { readonly kind: 'unlock'; readonly owner: string }
  /** The owner's session ended, at a time that nobody knows: an operation without an outcome. */
  | { readonly kind: 'lose'; readonly owner: string };

export type LockOutput = 'granted' | 'refused' | 'done';

/** Owners in order, with `x` for exclusive and `s` for shared. */
type Held = ReadonlyMap<string, 'x' | 's'>;

/** One lock of a file. */
export const lockModel: SequentialModel<Held, LockInput, LockOutput> = {
  initial: () => new Map(),
  step(held, input, output) {
    if (input.kind !== 'lock') {
      if (output === undefined && !held.has(input.owner)) return undefined;
      if (!held.has(input.owner)) return held;
      const left = new Map(held);
      left.delete(input.owner);
      return left;
    }
    const refused = [...held].some(
      ([owner, mode]) => owner !== input.owner && (input.exclusive || mode === 'x'),
    );
    if (output === 'refused') return refused ? held : undefined;
    if (refused) return undefined;
    return new Map(held).set(input.owner, input.exclusive ? 'x' : 's');
  },
  changesNothing: (_input, output) => output === 'refused',
  key: (held) => [...held].sort().join(),
};
