import { applyCommand, decodeCommand, prefetchKeys } from '../../src/core/namespace/apply.ts';
import { RowView } from '../../src/core/namespace/row-view.ts';
import { type ApplyOutcome, RowNotLoaded } from '../../src/core/namespace/types.ts';
import { Command } from '../../src/gen/ringfs/v1/namespace.ts';
import { MemoryKvStore } from './memory-kv-store.ts';

export interface NamespaceMachineOptions {
  /** Default 16 MiB. */
  readonly cacheBytesMax?: number;
  /** False: every row is found missing first. Default true. */
  readonly prefetch?: boolean;
}

/**
 * The namespace state machine over a MemoryKvStore, driven as a replica drives it but without waiting: commands go
 * through their encoding, rows through the view.
 */
export class NamespaceMachine {
  readonly store: MemoryKvStore;
  readonly view: RowView;
  readonly #prefetch: boolean;
  #index = 0;
  /** Times a command had to be applied again because of a row that was not loaded. */
  retries = 0;

  constructor(options: NamespaceMachineOptions = {}, store: MemoryKvStore = new MemoryKvStore()) {
    this.store = store;
    this.view = new RowView({ cacheBytesMax: options.cacheBytesMax ?? 16 * 1024 * 1024 });
    this.#prefetch = options.prefetch ?? true;
  }

  /** The index of the last command applied. */
  get index(): number {
    return this.#index;
  }

  apply(command: Command): ApplyOutcome {
    return this.applyBatch([Command.encode(command).finish()])[0]!;
  }

  /** Applies encoded commands under the next indexes and stores their writes as one batch. */
  applyBatch(batch: readonly Uint8Array[]): ApplyOutcome[] {
    const outcomes = batch.map((bytes) => {
      this.#index++;
      // Buffers, as a transport and RocksDB hand them over: their slice() shares memory.
      const command = decodeCommand(Buffer.from(bytes));
      if (this.#prefetch) this.#load(prefetchKeys(command));
      return this.#applyLoaded(command);
    });
    this.store.writeSync(this.view.takeWrites());
    return outcomes;
  }

  #applyLoaded(command: Command): ApplyOutcome {
    for (;;) {
      try {
        return applyCommand(this.view, this.#index, command);
      } catch (error) {
        if (!(error instanceof RowNotLoaded)) throw error;
        this.retries++;
        this.#load(error.keys);
      }
    }
  }

  #load(keys: readonly Uint8Array[]): void {
    for (const key of this.view.missing(keys)) {
      const value = this.store.getSync(key);
      this.view.load(key, value === undefined ? undefined : Buffer.from(value));
    }
  }
}
