import type { Random } from '../../../src/base/random.ts';
import type { HardState } from '../../../src/core/raft/types.ts';
import type { RaftConfState, RaftEntry } from '../../../src/gen/ringfs/v1/raft.ts';

/** A store whose unsynced writes are lost from some point on when its machine dies. `T` is changed by functions. */
class CrashableStore<T> {
  #durable: T;
  #unsynced: ((value: T) => T)[] = [];
  value: T;

  constructor(value: T) {
    this.value = value;
    this.#durable = value;
  }

  write(change: (value: T) => T, sync: boolean): void {
    this.value = change(this.value);
    this.#unsynced.push(change);
    if (sync) this.sync();
  }

  sync(): void {
    this.#durable = this.value;
    this.#unsynced = [];
  }

  crash(random: Random): void {
    const kept = random.below(this.#unsynced.length + 1);
    for (const change of this.#unsynced.slice(0, kept)) this.#durable = change(this.#durable);
    this.value = this.#durable;
    this.#unsynced = [];
  }
}

export interface StoredLog {
  readonly hardState: HardState;
  readonly index: number;
  readonly term: number;
  readonly entries: readonly RaftEntry[];
}

export interface StoredState {
  readonly applied: number;
  readonly appliedTerm: number;
  readonly confState: RaftConfState;
}

/** Two databases, as in production: the Raft log, synced by each Ready, and the state machine, synced before compaction. */
export class SimDisk {
  readonly log: CrashableStore<StoredLog>;
  readonly state: CrashableStore<StoredState>;

  constructor(confState: RaftConfState) {
    const hardState = { term: 0, votedFor: undefined, commit: 0 };
    this.log = new CrashableStore<StoredLog>({ hardState, index: 0, term: 0, entries: [] });
    this.state = new CrashableStore<StoredState>({ applied: 0, appliedTerm: 0, confState });
  }

  append(hardState: HardState | undefined, entries: readonly RaftEntry[], sync: boolean): void {
    this.log.write((log) => {
      const first = entries[0];
      const kept = first === undefined ? log.entries : log.entries.slice(0, first.index - log.index - 1);
      return { ...log, hardState: hardState ?? log.hardState, entries: [...kept, ...entries] };
    }, sync);
  }

  /** The log goes on after a snapshot. */
  restartLog(index: number, term: number): void {
    this.log.write((log) => ({ ...log, index, term, entries: [] }), true);
  }

  compact(index: number, term: number): void {
    this.state.sync();
    this.log.write((log) => ({ ...log, index, term, entries: log.entries.slice(index - log.index) }), false);
  }

  crash(random: Random): void {
    this.log.crash(random);
    this.state.crash(random);
  }
}
