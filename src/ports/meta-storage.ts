import type { KvStore } from './kv-store.ts';

/**
 * Where a metadata replica keeps its Raft log and its state machine. Each is a store of its own: the log is synced for
 * every commit, the state is not. A state is replaced as a whole when a snapshot is installed, so it has a name.
 */
export interface MetaStorage {
  /** For messages to people. */
  readonly location: string;
  /** Opens or creates the log. One handle at a time. */
  openLog(): Promise<KvStore>;
  /** Opens or creates the state of that name. One handle at a time. */
  openState(name: string): Promise<KvStore>;
  /** Names of the states that exist, live or left over. */
  states(): Promise<readonly string[]>;
  /** The live state; undefined before the first `switchTo`. */
  current(): Promise<string | undefined>;
  /** Makes `name` the live state, atomically and durably when resolved. */
  switchTo(name: string): Promise<void>;
  /** Removes a state that is not live and not open. Idempotent. */
  removeState(name: string): Promise<void>;
}
