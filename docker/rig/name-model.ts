import type { Operation, SequentialModel } from '../../test/support/linearizability.ts';
import type { NameInput, NameOperation, NameOutput } from './workers/protocol.ts';

/** An inode number, or `?id` for what a create of unknown outcome made. */
type File = string;

export type Input = NameInput & {
  readonly id: string;
  /** Another client did the same rename meanwhile, and was told that it succeeded. */
  readonly twin?: boolean;
};
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
        if (there === undefined) {
          // Linux looks both names up one after the other. When the other client's rename comes in between, both are one file, and
          // rename(2) of a file onto itself does nothing and succeeds, without a word to the file system.
          const done = output !== undefined && output.error === undefined;
          if (done && input.twin === true && state.names.has(input.to)) return state;
          return output?.error === 'ENOENT' ? state : undefined;
        }
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

/** The operations on one directory, for the checker. */
export function historyOf(operations: readonly NameOperation[]): Operation<Input, NameOutput>[] {
  return operations.map((operation) => {
    const { id, call, ret, input, output } = operation;
    const client = clientOf(id);
    const twin = operations.some((other) => clientOf(other.id) !== client && isTwin(operation, other));
    return { client, call, ret, input: { ...input, id, ...(twin ? { twin } : {}) }, output };
  });
}

const clientOf = (id: string): string => id.slice(0, id.lastIndexOf('-'));

function isTwin(one: NameOperation, other: NameOperation): boolean {
  const [a, b] = [one.input, other.input];
  if (a.kind !== 'rename' || b.kind !== 'rename' || a.name !== b.name || a.to !== b.to) return false;
  if (other.output?.error !== undefined) return false;
  // The end of what has no outcome is not known.
  return other.call < one.ret && (other.output === undefined || one.call < other.ret);
}
