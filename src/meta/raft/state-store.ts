import { assert, defined } from '../../base/assert.ts';
import { STATE_AUDIT_PAGE_ROWS } from '../../base/limits.ts';
import { addHash, hashText, NO_ROWS_HASH, rowHash } from '../../core/namespace/row-hash.ts';
import { RaftConfState, RaftSnapshotMeta } from '../../gen/ringfs/v1/raft.ts';
import type { KvRange, KvStore, KvWrite } from '../../ports/kv-store.ts';
import type { MetaStorage } from '../../ports/meta-storage.ts';
import { SnapshotRefusedError } from './errors.ts';
import { damagedError } from './log-store.ts';

/** Up to where the log is in the state, and the configuration as of then. */
export interface LogMark {
  readonly index: number;
  readonly term: number;
  readonly confState: RaftConfState;
}

export interface AppliedMark extends LogMark {
  /** Hash of the rows; undefined: an older version wrote them, see `learnHash`. */
  readonly stateHash: number | undefined;
}

/** Rows under this prefix are this replica's own: not part of the namespace, not in snapshots. */
export const PRIVATE_PREFIX = 0x00;
/** The namespace's rows. No key starts with 0xff. */
export const NAMESPACE_RANGE: KvRange = { gte: Uint8Array.of(PRIVATE_PREFIX + 1), lt: Uint8Array.of(0xff) };

const APPLIED_KEY = Uint8Array.of(PRIVATE_PREFIX, 1);
const INSTALLED_KEY = Uint8Array.of(PRIVATE_PREFIX, 2);
const SYNC_KEY = Uint8Array.of(PRIVATE_PREFIX, 3);
const CONDEMNED_KEY = Uint8Array.of(PRIVATE_PREFIX, 4);

type ReadableKv = Pick<KvStore, 'get' | 'getMany' | 'scan'>;
type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** A whole state as of one moment, in key order. */
export interface StateScan {
  readonly applied: AppliedMark;
  readonly rows: AsyncIterableIterator<Pair>;
}

/** What a walk over all rows found. */
export interface StateAudit {
  readonly index: number;
  readonly rows: number;
  readonly read: number;
  /** What the applied mark says; undefined: nothing. */
  readonly kept: number | undefined;
}

/**
 * The state machine's rows and the applied mark, which is written in the same batch as the rows. Writes are not synced: the
 * log can repeat them.
 */
export class StateStore {
  readonly #storage: MetaStorage;
  #name: string;
  #kv: KvStore;
  #applied: AppliedMark;
  #installed: RaftSnapshotMeta | undefined;
  #condemned: string | undefined;
  #visible: number;

  /** What readers hold: it follows the live state when that is replaced. */
  readonly view: ReadableKv = {
    get: (key) => this.#kv.get(key),
    getMany: (keys) => this.#kv.getMany(keys),
    scan: (range) => this.#kv.scan(range),
  };

  private constructor(storage: MetaStorage, name: string, kv: KvStore, rows: PrivateRows) {
    this.#storage = storage;
    this.#name = name;
    this.#kv = kv;
    this.#applied = rows.applied;
    this.#visible = rows.applied.index;
    this.#installed = rows.installed;
    this.#condemned = rows.condemned;
    this.#visible = rows.applied.index;
  }

  /** Opens the live state, or makes an empty one with `initial` in a directory without any. Removes left-overs. */
  static async open(storage: MetaStorage, initial: LogMark): Promise<StateStore> {
    const current = await storage.current();
    for (const name of await storage.states()) if (name !== current) await storage.removeState(name);
    const name = current ?? 'state-1';
    const kv = await storage.openState(name);
    if (current === undefined) {
      await kv.write([putApplied({ ...initial, stateHash: NO_ROWS_HASH })], { sync: true });
      await storage.switchTo(name);
    }
    return new StateStore(storage, name, kv, await readPrivateRows(storage, name, kv));
  }

  /** Opens the live state and changes nothing; undefined in a directory without any. Throws DataDirectoryError. */
  static async openExisting(storage: MetaStorage): Promise<StateStore | undefined> {
    const name = await storage.current();
    if (name === undefined || !(await storage.states()).includes(name)) return undefined;
    const kv = await storage.openState(name);
    try {
      return new StateStore(storage, name, kv, await readPrivateRows(storage, name, kv));
    } catch (error) {
      await kv.close();
      throw error;
    }
  }

  get applied(): AppliedMark {
    return this.#applied;
  }

  /** No reader has seen what an entry beyond this did. Ahead of `applied` while a batch is being written. */
  get visibleIndex(): number {
    return this.#visible;
  }

  /** The snapshot that this state began with, if it did. */
  get installed(): RaftSnapshotMeta | undefined {
    return this.#installed;
  }

  /** Why this state must not be used any more; undefined: it may be. */
  get condemned(): string | undefined {
    return this.#condemned;
  }

  /** Remembers durably that this state must not be used, and why. */
  async condemn(reason: string): Promise<void> {
    const value = new TextEncoder().encode(reason);
    await this.#kv.write([{ type: 'put', key: CONDEMNED_KEY, value }], { sync: true });
    this.#condemned = reason;
  }

  /** Finds the hash of the rows, which an older version did not keep. While nobody writes. */
  async learnHash(): Promise<void> {
    const stateHash = (await this.hashRows(async () => undefined)).read;
    const applied = { ...this.#applied, stateHash };
    await this.#kv.write([putApplied(applied)], { sync: false });
    this.#applied = applied;
  }

  /**
   * The hash of all rows, read from the store, and the one that was written with them, as of one moment. Calls `pause` after every
   * STATE_AUDIT_PAGE_ROWS rows. Rejects when the state is replaced meanwhile.
   */
  async hashRows(pause: () => Promise<void>): Promise<StateAudit> {
    const { applied, rows } = await this.scanAll();
    let read = NO_ROWS_HASH;
    let count = 0;
    for await (const [key, value] of rows) {
      read = addHash(read, rowHash(key, value));
      count += 1;
      if (count % STATE_AUDIT_PAGE_ROWS === 0) await pause();
    }
    return { index: applied.index, read, kept: applied.stateHash, rows: count };
  }

  /** One atomic batch: the rows and the mark that says that they are there. */
  async write(rows: readonly KvWrite[], applied: AppliedMark): Promise<void> {
    assert(applied.index > this.#applied.index, 'the applied index grows');
    this.#visible = applied.index;
    await this.#kv.write([...rows, putApplied(applied)], { sync: false });
    this.#applied = applied;
  }

  /** Replaces the configuration that the state has, durably. For forced recovery: it is the log that changes it otherwise. */
  async replaceConfState(confState: RaftConfState): Promise<void> {
    const applied = { ...this.#applied, confState };
    await this.#kv.write([putApplied(applied)], { sync: true });
    this.#applied = applied;
  }

  /** Everything written so far is on disk when it resolves: a synced write syncs the writes before it. */
  async sync(): Promise<void> {
    await this.#kv.write([{ type: 'put', key: SYNC_KEY, value: Uint8Array.of(1) }], { sync: true });
  }

  /** See RaftLogStore.reopen. */
  async reopen(): Promise<void> {
    await this.#kv.close();
    this.#kv = await this.#storage.openState(this.#name);
    const { applied } = await readPrivateRows(this.#storage, this.#name, this.#kv);
    if (applied.index !== this.#applied.index) {
      throw damagedError(
        this.#storage.location,
        `the state went back to ${applied.index} after a failed write`,
      );
    }
  }

  /** The state with its mark, of one and the same moment. The caller ends `rows`. */
  async scanAll(): Promise<StateScan> {
    const scan = this.#kv.scan({ ...NAMESPACE_RANGE, gte: APPLIED_KEY });
    try {
      const first = await scan.next();
      assert(first.done !== true && first.value[0][1] === APPLIED_KEY[1], 'a state begins with its mark');
      return { applied: decodeApplied(first.value[1]), rows: namespaceRows(scan) };
    } catch (error) {
      await scan.return?.();
      throw error;
    }
  }

  /** A fresh state to fill from a snapshot, next to the live one. */
  async beginInstall(): Promise<StateInstall> {
    const name = `state-${Number(this.#name.slice('state-'.length)) + 1}`;
    await this.#storage.removeState(name);
    return new StateInstall(this.#storage, name, await this.#storage.openState(name));
  }

  /** Makes an installed state the live one, durably, and closes and removes the old one. */
  async switchTo(install: StateInstall): Promise<void> {
    const { name, kv } = install.take();
    const rows = await readPrivateRows(this.#storage, name, kv);
    await this.#storage.switchTo(name);
    const old = { name: this.#name, kv: this.#kv };
    this.#name = name;
    this.#kv = kv;
    this.#applied = rows.applied;
    this.#installed = rows.installed;
    this.#condemned = rows.condemned;
    await old.kv.close();
    await this.#storage.removeState(old.name);
  }

  close(): Promise<void> {
    return this.#kv.close();
  }
}

/** A state being filled. Nothing refers to it until StateStore.switchTo. */
export class StateInstall {
  readonly #storage: MetaStorage;
  readonly #name: string;
  readonly #kv: KvStore;
  #open = true;
  #hash = NO_ROWS_HASH;

  constructor(storage: MetaStorage, name: string, kv: KvStore) {
    this.#storage = storage;
    this.#name = name;
    this.#kv = kv;
  }

  /** Every row once. */
  async write(rows: readonly Pair[]): Promise<void> {
    for (const [key, value] of rows) this.#hash = addHash(this.#hash, rowHash(key, value));
    const batch = rows.map(([key, value]) => ({ type: 'put' as const, key, value }));
    await this.#kv.write(batch, { sync: false });
  }

  /** Everything is there: the mark, synced, which syncs the rows before it. Throws SnapshotRefusedError when these are not the rows of
   * which `meta` says the hash. */
  async seal(meta: RaftSnapshotMeta): Promise<void> {
    const confState = defined(meta.confState, 'configuration of a snapshot');
    const stateHash = this.#hash;
    if (meta.stateHash !== undefined && meta.stateHash !== stateHash) {
      const [kept, read] = [hashText(meta.stateHash), hashText(stateHash)];
      throw new SnapshotRefusedError(
        `the rows of the snapshot of ${meta.index} have the hash ${read}, and their sender kept ${kept} for them: its state is damaged`,
      );
    }
    const installed = RaftSnapshotMeta.encode(meta).finish();
    await this.#kv.write(
      [
        putApplied({ index: meta.index, term: meta.term, confState, stateHash }),
        { type: 'put', key: INSTALLED_KEY, value: installed },
      ],
      { sync: true },
    );
  }

  /** Throws it away; has no effect once it is the live state. */
  async abandon(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#kv.close();
    await this.#storage.removeState(this.#name);
  }

  take(): { name: string; kv: KvStore } {
    assert(this.#open, 'a state is installed once');
    this.#open = false;
    return { name: this.#name, kv: this.#kv };
  }
}

interface PrivateRows {
  readonly applied: AppliedMark;
  readonly installed: RaftSnapshotMeta | undefined;
  readonly condemned: string | undefined;
}

async function readPrivateRows(storage: MetaStorage, name: string, kv: KvStore): Promise<PrivateRows> {
  const [applied, installed, condemned] = await kv.getMany([APPLIED_KEY, INSTALLED_KEY, CONDEMNED_KEY]);
  if (applied === undefined) throw damagedError(storage.location, `${name} has no applied index`);
  try {
    return {
      applied: decodeApplied(applied),
      installed: installed === undefined ? undefined : RaftSnapshotMeta.decode(installed),
      condemned: condemned === undefined ? undefined : new TextDecoder().decode(condemned),
    };
  } catch (error) {
    throw damagedError(storage.location, `the applied index of ${name} cannot be read`, error);
  }
}

function putApplied(mark: AppliedMark): KvWrite {
  return { type: 'put', key: APPLIED_KEY, value: RaftSnapshotMeta.encode(mark).finish() };
}

function decodeApplied(value: Uint8Array): AppliedMark {
  const { index, term, confState, stateHash } = RaftSnapshotMeta.decode(value);
  return { index, term, confState: confState ?? RaftConfState.decode(new Uint8Array(0)), stateHash };
}

async function* namespaceRows(scan: AsyncIterableIterator<Pair>): AsyncIterableIterator<Pair> {
  for await (const pair of scan) if (pair[0][0] !== PRIVATE_PREFIX) yield pair;
}
