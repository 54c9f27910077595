import { toBinary } from '../../../src/base/bytes.ts';
import { decodeCommand } from '../../../src/core/namespace/apply.ts';
import { addHash, hashChange, NO_ROWS_HASH, rowHash } from '../../../src/core/namespace/row-hash.ts';
import { CommitResult } from '../../../src/gen/ringfs/v1/namespace.ts';
import {
  type RaftEntry,
  type RaftMessage,
  RaftMessageType,
  RaftSnapshotMeta,
} from '../../../src/gen/ringfs/v1/raft.ts';
import {
  decodeEntry,
  decodeHardState,
  decodeSnapshotMeta,
  entryKey,
  HARD_STATE_KEY,
  SNAPSHOT_META_KEY,
  unseal,
} from '../../../src/meta/raft/log-codec.ts';
import type { Applied } from '../../../src/meta/replica.ts';
import type { KvWrite } from '../../../src/ports/kv-store.ts';
import type { MemoryKvStore } from '../../support/memory-kv-store.ts';
import { Violation } from '../harness/world.ts';
import { Oracle } from '../raft/oracle.ts';
import type { DiskObserver, SimDisk } from './disk.ts';
import type { SimWorld } from './world.ts';

const ENTRY_KEY_BYTES = 9;
const ENTRY_PREFIX = entryKey(0)[0];
const PRIVATE_PREFIX = 0x00;
const APPLIED_KEY_SECOND = 1;
const SUM_LIMIT = 2 ** 52;

/** A sum over rows, so that it follows writes and does not depend on their order. */
class RowSum {
  readonly #rows = new Map<string, { readonly hash: number; readonly product: number }>();
  #sum = 0;
  /** As the product adds its hashes up, but from what the store has. */
  #product = NO_ROWS_HASH;

  apply(write: KvWrite): void {
    const key = toBinary(write.key);
    const before = this.#rows.get(key);
    if (before !== undefined) {
      this.#sum = (this.#sum - before.hash + SUM_LIMIT) % SUM_LIMIT;
      this.#product = addHash(this.#product, hashChange(before.product, NO_ROWS_HASH));
      this.#rows.delete(key);
    }
    if (write.type === 'del') return;
    const hash = hashPair(write.key, write.value);
    const product = rowHash(write.key, write.value);
    this.#rows.set(key, { hash, product });
    this.#sum = (this.#sum + hash) % SUM_LIMIT;
    this.#product = addHash(this.#product, product);
  }

  get product(): number {
    return this.#product;
  }

  get value(): string {
    return `${this.#rows.size} rows, sum ${this.#sum}`;
  }
}

/** 48 bits. */
function hashPair(key: Uint8Array, value: Uint8Array): number {
  let a = 0x811c9dc5 ^ key.length;
  let b = 0x01234567 ^ value.length;
  for (const bytes of [key, value]) {
    for (const byte of bytes) {
      a = Math.imul(a ^ byte, 0x01000193);
      b = Math.imul(b ^ byte, 0x85ebca6b) ^ (b >>> 13);
    }
  }
  return ((a >>> 0) & 0xffff) * 2 ** 32 + (b >>> 0);
}

interface ObservedState {
  readonly rows: RowSum;
  applied: number | undefined;
  /** What the replica says of its rows. */
  hash: number | undefined;
}

/** Sees what every server writes, sends and applies, and compares. */
export class ClusterChecks {
  readonly #world: SimWorld;
  readonly #oracle = new Oracle();
  readonly #leaders = new Set<string>();
  /** What a command gave at an index, by whoever applied it first. */
  readonly #outcomes = new Map<number, string>();
  /** Where a commit of a session took effect. */
  readonly #effective = new Map<string, number>();
  /** What the state was at an index, and who was first seen with it. */
  readonly #states = new Map<number, { readonly sum: string; readonly by: string }>();

  constructor(world: SimWorld) {
    this.#world = world;
  }

  get committedIndex(): number {
    return this.#oracle.committedIndex;
  }

  /** Runs checks of the Raft oracle, which throws. */
  #check(name: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#world.fail(new Violation(name, (error as Error).message, { cause: error }));
    }
  }

  observer(id: string, disk: SimDisk, term: () => number): DiskObserver {
    const states = new Map<string, ObservedState>();
    const log = (): MemoryKvStore => disk.memory.logRows;
    return {
      onInstalled: () => {
        this.#world.counts.snapshots += 1;
        this.#world.trace(`${id} has installed a snapshot`);
      },
      onLogWrite: (batch) => this.#onLogWrite(id, batch, log()),
      onStateOpened: (name, pairs) => {
        const state: ObservedState = { rows: new RowSum(), applied: undefined, hash: undefined };
        for (const [key, value] of pairs) observe(state, { type: 'put', key, value });
        states.set(name, state);
      },
      onStateWrite: (name, batch) => {
        const state = states.get(name);
        if (state === undefined) return;
        const before = state.applied;
        for (const write of batch) observe(state, write);
        if (state.applied === undefined || state.applied === before) return;
        this.#onState(id, name, state.applied, state.rows.value);
        if (state.hash !== state.rows.product) {
          const message = `${id} (${name}) at ${state.applied} says ${state.hash}, its rows are ${state.rows.product}`;
          this.#world.fail(new Violation('kept-hash', message));
        }
        if (before !== undefined) this.#onAppliedEntries(id, before, state.applied, log(), term());
      },
    };
  }

  #onLogWrite(id: string, batch: readonly KvWrite[], log: MemoryKvStore): void {
    for (const write of batch) {
      if (write.key[0] === SNAPSHOT_META_KEY[0]) this.#world.counts.compactions += 1;
      if (write.type !== 'put' || write.key.length !== ENTRY_KEY_BYTES || write.key[0] !== ENTRY_PREFIX)
        continue;
      const entry = decodeEntry(unseal(write.key, write.value));
      const previous = termAt(log, entry.index - 1);
      if (previous === undefined) continue;
      this.#check('log-matching', () => this.#oracle.stored(id, entry, previous));
    }
  }

  #onState(id: string, name: string, index: number, sum: string): void {
    const known = this.#states.get(index);
    if (known === undefined) {
      this.#states.set(index, { sum, by: id });
    } else if (known.sum !== sum) {
      this.#world.fail(
        new Violation('state-hash', `${id} (${name}) at ${index} is ${sum}, ${known.by} was ${known.sum}`),
      );
    }
  }

  #onAppliedEntries(id: string, from: number, to: number, log: MemoryKvStore, term: number): void {
    for (let index = from + 1; index <= to; index++) {
      const entry = entryAt(log, index);
      this.#check('state-machine-safety', () => {
        this.#oracle.committed(id, index, entry?.term, term);
        if (entry === undefined) throw new Error(`${id} applied ${index}, which is not in its log`);
        this.#oracle.applied(id, entry, index - 1);
      });
    }
  }

  /** What a replica says that it applied; before it is written. */
  onOutcomes(id: string, batch: readonly Applied[], disk: SimDisk, term: number): void {
    const log = disk.memory.logRows;
    for (const { index, term: entryTerm, outcome } of batch) {
      this.#check('state-machine-safety', () => {
        for (let at = this.#oracle.committedIndex + 1; at < index; at++) {
          this.#oracle.committed(id, at, termAt(log, at), term);
        }
        this.#oracle.committed(id, index, entryTerm, term);
      });
      const result = toBinary(CommitResult.encode(outcome.result).finish());
      const what = `${entryTerm}:${outcome.value}:${outcome.duplicate}:${result}`;
      const known = this.#outcomes.get(index);
      if (known === undefined) {
        this.#outcomes.set(index, what);
        this.#onFirstOutcome(id, index, outcome, log);
      } else if (known !== what) {
        this.#world.fail(new Violation('outcome', `${id} got something else from entry ${index}`));
      }
    }
  }

  #onFirstOutcome(id: string, index: number, outcome: Applied['outcome'], log: MemoryKvStore): void {
    const entry = entryAt(log, index);
    const body = entry === undefined ? undefined : decodeCommand(entry.data).body;
    if (body?.$case !== 'commit') return;
    if (outcome.duplicate) this.#world.counts.duplicates += 1;
    if (outcome.duplicate || outcome.result.body?.$case !== 'ok') return;
    const key = `${body.value.session}:${body.value.sequence}`;
    const before = this.#effective.get(key);
    this.#effective.set(key, index);
    if (before === undefined) return;
    this.#world.fail(
      new Violation('exactly-once', `${id} applied commit ${key} of ${before} again at ${index}`),
    );
  }

  /** A client was told that its commit took effect at `index`. */
  acknowledged(client: string, index: number): void {
    if (index > this.#oracle.committedIndex) {
      const message = `${client} was told of entry ${index}, and only ${this.#oracle.committedIndex} are committed`;
      this.#world.fail(new Violation('durability', message));
    }
  }

  /** Before a message leaves `id`: what it promises must be on its disk, and a term has one leader. */
  onSend(id: string, message: RaftMessage, disk: SimDisk): void {
    const { type, term } = message;
    if (type === RaftMessageType.APPEND || type === RaftMessageType.HEARTBEAT) this.#onLeader(id, term, disk);
    if (message.reject) return;
    const durable = disk.memory.durableLogRows;
    if (type === RaftMessageType.VOTE || type === RaftMessageType.VOTE_RESPONSE) {
      const vote = type === RaftMessageType.VOTE ? id : message.to;
      const row = durable.getSync(HARD_STATE_KEY);
      const stored = row === undefined ? undefined : decodeHardState(unseal(HARD_STATE_KEY, row));
      // A later term may have been stored meanwhile.
      const kept =
        stored !== undefined && (stored.term > term || (stored.term === term && stored.votedFor === vote));
      if (!kept) this.#broken(id, `its vote for ${vote} in term ${term}`);
    }
    if (type === RaftMessageType.APPEND_RESPONSE && message.index > startOf(durable)) {
      if (durable.getSync(entryKey(message.index)) === undefined) this.#broken(id, `entry ${message.index}`);
    }
  }

  #broken(id: string, what: string): void {
    this.#world.fail(
      new Violation('promise', `${id} sent what depends on ${what}, which is not on its disk`),
    );
  }

  #onLeader(id: string, term: number, disk: SimDisk): void {
    const key = `${id}:${term}`;
    if (this.#leaders.has(key)) return;
    this.#leaders.add(key);
    this.#world.counts.elections += 1;
    this.#world.trace(`${id} leads term ${term}`);
    const log = disk.memory.logRows;
    this.#check('leader', () => {
      this.#oracle.elected(id, term, startOf(log) + 1, (index) => termAt(log, index));
    });
  }
}

function observe(state: ObservedState, write: KvWrite): void {
  if (write.key[0] !== PRIVATE_PREFIX) state.rows.apply(write);
  else if (write.key[1] === APPLIED_KEY_SECOND && write.type === 'put') {
    const { index, stateHash } = RaftSnapshotMeta.decode(write.value);
    state.applied = index;
    state.hash = stateHash;
  }
}

function entryAt(log: MemoryKvStore, index: number): RaftEntry | undefined {
  const key = entryKey(index);
  const row = log.getSync(key);
  return row === undefined ? undefined : decodeEntry(unseal(key, row));
}

function snapshotOf(log: MemoryKvStore): { readonly index: number; readonly term: number } {
  const row = log.getSync(SNAPSHOT_META_KEY);
  return row === undefined ? { index: 0, term: 0 } : decodeSnapshotMeta(unseal(SNAPSHOT_META_KEY, row));
}

const startOf = (log: MemoryKvStore): number => snapshotOf(log).index;

function termAt(log: MemoryKvStore, index: number): number | undefined {
  const snapshot = snapshotOf(log);
  if (index === snapshot.index) return snapshot.term;
  return index < snapshot.index ? undefined : entryAt(log, index)?.term;
}
