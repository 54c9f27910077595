import type { CommitResult } from '../../gen/ringfs/v1/namespace.ts';

/**
 * The contract of the namespace state machine: pure and synchronous. The driver loads the rows that a command is likely
 * to touch (`prefetchKeys`), applies it (`applyCommand`) and, when it needs a row that is not loaded, loads that row
 * and applies it again. All writes of a batch of commands go out in one atomic store batch.
 */

/** The row is not in the view. The driver loads it and applies the command again from its start. */
export class RowNotLoaded extends Error {
  override readonly name = 'RowNotLoaded';
  readonly keys: readonly Uint8Array[];
  constructor(keys: readonly Uint8Array[]) {
    super('row not loaded');
    this.keys = keys;
  }
}

/** Rows by key. A command sees the writes of the commands before it in the batch. */
export interface Rows {
  /** Throws RowNotLoaded. The value must not be changed in place. */
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  del(key: Uint8Array): void;
}

/** What applying one command gave. */
export interface ApplyOutcome {
  /** For a Commit; for other commands an `ok` without results, or a rejection. */
  readonly result: CommitResult;
  /** OpenSession: the session's id. ReapOrphan: chunk rows still left, 0 when the inode is gone. */
  readonly value: number;
  /** The client whose commit this was; 0 for other commands. */
  readonly session: number;
  /** True: the answer of an earlier application was found, nothing changed. */
  readonly duplicate: boolean;
}
