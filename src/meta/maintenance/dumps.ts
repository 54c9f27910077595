import { DUMPS_MAX } from '../../base/limits.ts';
import type { SnapshotPart } from '../../gen/ringfs/v1/raft.ts';
import { NotLeaderError } from '../replica.ts';

interface Dumpable {
  /** Throws NotLeaderError. */
  dump(): Promise<AsyncIterableIterator<SnapshotPart>>;
}

/** Everything that was committed when it is asked for, at a leader or a follower, which asks the leader how far that is. */
export function dumpOf(
  replica: { capture(): Promise<AsyncIterableIterator<SnapshotPart>> },
  reads: { read<T>(read: () => Promise<T>): Promise<T> },
): Dumpable {
  return {
    async dump() {
      let parts: AsyncIterableIterator<SnapshotPart> | undefined;
      try {
        return await reads.read(async () => {
          await parts?.return?.();
          parts = await replica.capture();
          return parts;
        });
      } catch (error) {
        await parts?.return?.();
        throw error;
      }
    },
  };
}

/** The dumps that one server gives to operators. */
export class Dumps {
  readonly #replica: Dumpable;
  #open = 0;

  constructor(replica: Dumpable) {
    this.#replica = replica;
  }

  /** A whole dump; the caller reads it to its end or ends it. Rejects with an Error for a person. */
  async open(): Promise<AsyncIterableIterator<SnapshotPart>> {
    if (this.#open >= DUMPS_MAX) throw new Error(`${DUMPS_MAX} dumps are being made already`);
    this.#open++;
    try {
      return this.#counted(await this.#replica.dump());
    } catch (error) {
      this.#open--;
      if (!(error instanceof NotLeaderError)) throw error;
      const { leader } = error;
      throw new Error(
        leader === undefined ? 'there is no leader' : `not the leader any more, which is ${leader.id}`,
      );
    }
  }

  #counted(parts: AsyncIterableIterator<SnapshotPart>): AsyncIterableIterator<SnapshotPart> {
    let open = true;
    const close = (): void => {
      if (open) this.#open--;
      open = false;
    };
    const counted: AsyncIterableIterator<SnapshotPart> = {
      next: async () => {
        try {
          const next = await parts.next();
          if (next.done === true) close();
          return next;
        } catch (error) {
          close();
          throw error;
        }
      },
      return: async () => {
        close();
        await parts.return?.();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => counted,
    };
    return counted;
  }
}
