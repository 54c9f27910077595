import type { SequentialModel } from '../../test/support/linearizability.ts';
import type { NameInput, NameOutput } from './workers/protocol.ts';

/** An inode number, or `?id` for what a create of unknown outcome made. */
type File = string;

export type Input = NameInput & { readonly id: string };
interface State {
  readonly names: ReadonlyMap<string, File>;
}

const changed = (state: State, change: (names: Map<string, File>) => void): State => {
  const names = new Map(state.names);
  change(names);
  return { names };
};

/** One directory of files: exclusive create, unlink, rename over what is there, lookup. */
export const nameModel: SequentialModel<State, Input, NameOutput> = {
  initial: () => ({ names: new Map() }),

  step(state, input, output) {
    const there = state.names.get(input.name);
    switch (input.kind) {
      case 'create':
        if (there !== undefined) return output?.error === 'EEXIST' ? state : undefined;
        if (output?.error !== undefined) return undefined;
        return changed(state, (names) => names.set(input.name, output?.ino ?? `?${input.id}`));
      case 'unlink':
        if (there === undefined) return output?.error === 'ENOENT' ? state : undefined;
        if (output?.error !== undefined) return undefined;
        return changed(state, (names) => names.delete(input.name));
      case 'rename':
        if (there === undefined) return output?.error === 'ENOENT' ? state : undefined;
        if (output?.error !== undefined) return undefined;
        return changed(state, (names) => names.delete(input.name) && names.set(input.to, there));
      case 'lookup':
        return output === undefined ? undefined : looked(state, input.name, there, output);
    }
  },

  changesNothing: (input, output) => output.error !== undefined || input.kind === 'lookup',
  key: (state) => [...state.names].sort().join(),
};

function looked(state: State, name: string, there: File | undefined, output: NameOutput): State | undefined {
  if (there === undefined || output.error !== undefined) {
    return there === undefined && output.error === 'ENOENT' ? state : undefined;
  }
  if (there === output.ino) return state;
  // A number belongs to one file: what is not known yet becomes it, unless another has it.
  if (!there.startsWith('?') || [...state.names.values()].includes(output.ino!)) return undefined;
  return changed(state, (names) => names.set(name, output.ino!));
}
