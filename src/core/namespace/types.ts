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

/** How a row's message becomes bytes and back. */
export interface RowCodec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** Rows by key. A command sees the writes of the commands before it in the batch. */
export interface Rows {
  /** Throws RowNotLoaded. The value must not be changed in place. */
  get(key: Uint8Array): Uint8Array | undefined;
  put(key: Uint8Array, value: Uint8Array): void;
  del(key: Uint8Array): void;
  /** `get`, decoded; the message is shared and must not be changed in place. A key is always used with one codec. */
  read<T extends object>(key: Uint8Array, codec: RowCodec<T>): T | undefined;
  /** `put` of a message, which must not be changed afterwards. It may be encoded much later. */
  write<T extends object>(key: Uint8Array, codec: RowCodec<T>, value: T): void;
  /** Throws RowNotLoaded with all keys that are not loaded: one round trip instead of one per key. */
  require(keys: readonly Uint8Array[]): void;
  /** The store has no such row, and nobody needs to look. What the view knows of the row stays as it is. */
  knownAbsent(key: Uint8Array): void;
  /** Opens a savepoint. They nest. */
  begin(): void;
  /** Keeps the writes since the last `begin`. */
  commit(): void;
  /** Takes back the writes since the last `begin`. */
  rollback(): void;
}

/** One write of a batch, as ports/kv-store.ts has it. */
export type RowWrite =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

/** The reading half of ports/kv-store.ts, which this layer must not import. */
export interface RowSource {
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  scan(range: {
    readonly gte: Uint8Array;
    readonly lt: Uint8Array;
    readonly limit?: number;
    readonly reverse?: boolean;
  }): AsyncIterableIterator<readonly [key: Uint8Array, value: Uint8Array]>;
}

/** A waiter for a lock that has it now. Its client is told; one that is not connected asks. */
export interface LockGrant {
  readonly session: number;
  readonly ino: number;
  readonly ticket: number;
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
  /** Waiters that the command gave their locks to. */
  readonly grants?: readonly LockGrant[];
}
