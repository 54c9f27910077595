import { strict as assert } from 'node:assert';
import { describe, it } from 'node:test';
import { ROOT_INO, type ServerId } from '../../src/base/ids.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { dentryKey } from '../../src/core/namespace/keys.ts';
import { type RaftMessage, RaftMessageType } from '../../src/gen/ringfs/v1/raft.ts';
import { decodeHardState, entryKey, HARD_STATE_KEY, unseal } from '../../src/meta/raft/log-codec.ts';
import type { RaftReplica } from '../../src/meta/raft/raft-replica.ts';
import type { MetaStorage } from '../../src/ports/meta-storage.ts';
import { MemoryMetaStorage } from '../support/memory-meta-storage.ts';
import { createFileCommand, openSessionCommand, ReplicaCluster } from '../support/replica-cluster.ts';
import { stateHash } from '../support/state-hash.ts';

const SEEDS = Number(process.env['SIM_SEEDS'] ?? 12);
const FIRST_SEED = Number(process.env['SIM_FIRST_SEED'] ?? 1);
const STEPS = 150;
const LIMITS = { bytesMax: 1 << 20, entriesMax: 60, entriesKept: 15, bytesHeldMax: 1 << 20 };

/** Three replicas whose processes die, whose machines lose power, whose disks fill up and whose network fails. */
class Simulation {
  readonly random: Random;
  readonly storages = new Map<string, MemoryMetaStorage>();
  readonly cluster: ReplicaCluster;
  /** Numbers of the commands whose success was reported. */
  readonly acknowledged: number[] = [];
  #next = 1;
  #session = 0;
  /** Which command is at an index, according to whoever applied it first. */
  readonly #history = new Map<number, string>();
  readonly #lastIndexes = new WeakMap<object, number>();
  #losses = 0;
  #failed: Error | undefined;

  constructor(seed: number) {
    this.random = seededRandom(seed);
    const storage = async (id: ServerId): Promise<MetaStorage> => this.storage(id);
    this.cluster = new ReplicaCluster({ storage, logLimits: LIMITS });
    this.cluster.network.filter = (message) => {
      this.#checkPromise(message);
      return this.random.next() >= this.#losses;
    };
  }

  storage(id: string): MemoryMetaStorage {
    const storage = this.storages.get(id) ?? new MemoryMetaStorage();
    this.storages.set(id, storage);
    return storage;
  }

  async start(): Promise<void> {
    await this.cluster.startAll();
    const leader = await this.cluster.elect();
    const opened = await this.cluster.during(leader.propose(openSessionCommand(0)), 'a session');
    this.#session = opened.outcome.value;
  }

  /** What a replica says that it has, it must not forget with the power. */
  #checkPromise(message: RaftMessage): void {
    if (message.reject) return;
    const disk = this.storage(message.from).durableLogRows;
    if (message.type === RaftMessageType.VOTE || message.type === RaftMessageType.VOTE_RESPONSE) {
      const vote = message.type === RaftMessageType.VOTE ? message.from : message.to;
      const row = disk.getSync(HARD_STATE_KEY);
      assert.ok(row !== undefined, 'a vote without a hard state');
      const { term, votedFor } = decodeHardState(unseal(HARD_STATE_KEY, row));
      // A later term may have been stored meanwhile.
      assert.ok(term > message.term || (term === message.term && votedFor === vote), 'a vote not stored');
    }
    if (message.type === RaftMessageType.APPEND_RESPONSE && message.index > 0) {
      const replica = this.cluster.replicas.get(message.from as ServerId);
      if (replica === undefined || message.index < replica.status().firstIndex) return;
      assert.ok(disk.getSync(entryKey(message.index)) !== undefined, 'an entry acknowledged and not stored');
    }
  }

  async step(): Promise<void> {
    const { cluster, random } = this;
    const id = cluster.ids[random.below(3)]!;
    const dice = random.below(100);
    if (dice < 45) this.#propose();
    else if (dice < 50) this.#losses = random.next() * 0.3;
    else if (dice < 55) cluster.network.isolate(id);
    else if (dice < 63) cluster.network.heal();
    else if (dice < 67) await this.#die(id, dice < 65);
    else if (dice < 75) await this.#revive(id);
    else if (dice < 77) this.storage(id).fillDisk();
    else if (dice < 81) this.#freeDisks();
    else if (dice < 83) cluster.timers.stall(random.below(3000));
    else if (dice < 90) await this.#read();
    for (let i = random.below(40); i > 0; i--) {
      cluster.timers.advance(10);
      if (random.below(2) === 0) await cluster.settle();
      this.#checkLeases();
    }
    this.#checkHistory();
  }

  #propose(): void {
    const leader = this.cluster.leader();
    if (leader === undefined) return;
    for (let i = this.random.below(10); i >= 0; i--) {
      const n = this.#next++;
      leader.propose(createFileCommand(this.#session, n, fileName(n))).then(
        (applied) => {
          assert.equal(applied.outcome.result.body?.$case, 'ok');
          this.acknowledged.push(n);
        },
        () => undefined,
      );
    }
  }

  /** What was acknowledged before a read barrier is seen after it. */
  async #read(): Promise<void> {
    const leader = this.cluster.leader();
    const n = this.acknowledged.at(-1);
    if (leader === undefined || n === undefined) return;
    leader
      .readBarrier()
      .then(
        async () => assert.ok(await has(leader, n), `read of ${n} after its acknowledgement`),
        () => undefined,
      )
      .catch((error: unknown) => {
        if (error instanceof assert.AssertionError) this.#failed = error;
      });
  }

  async #die(id: ServerId, power: boolean): Promise<void> {
    if (!this.cluster.replicas.has(id)) return;
    if (power) this.storage(id).losePower();
    else this.storage(id).kill();
    this.cluster.abandon(id);
  }

  async #revive(id: ServerId): Promise<void> {
    if (this.cluster.replicas.has(id)) return;
    this.storage(id).writeFailure = undefined;
    await this.cluster.start(id);
  }

  #freeDisks(): void {
    for (const storage of this.storages.values()) storage.writeFailure = undefined;
  }

  #checkLeases(): void {
    const holders = [...this.cluster.replicas.values()].filter((r) => r.leaseValid());
    assert.ok(holders.length <= 1, `two leases: ${holders.map((r) => r.id).join(', ')}`);
    if (this.#failed !== undefined) throw this.#failed;
  }

  #checkHistory(): void {
    for (const [id, applied] of this.cluster.applied) {
      // One list per life; it is emptied here and its last index remembered.
      let last = this.#lastIndexes.get(applied) ?? 0;
      for (const { index, term, outcome } of applied) {
        assert.ok(index > last, `${id} applied ${index} after ${last}`);
        last = index;
        const what = `${term}:${outcome.value}:${outcome.duplicate}`;
        const known = this.#history.get(index);
        if (known === undefined) this.#history.set(index, what);
        else assert.equal(what, known, `${id} applied something else at ${index}`);
      }
      applied.length = 0;
      this.#lastIndexes.set(applied, last);
    }
  }

  async finish(): Promise<void> {
    const { cluster } = this;
    this.#losses = 0;
    this.#freeDisks();
    cluster.network.heal();
    for (const id of cluster.ids) await this.#revive(id);
    await cluster.elect();
    await cluster.untilCaughtUp();
    const hashes = new Set<string>();
    for (const replica of cluster.replicas.values()) {
      assert.equal(replica.health().status, 'ok');
      for (const n of this.acknowledged)
        assert.ok(await has(replica, n), `${n} was acknowledged and is lost`);
      hashes.add(await stateHash(replica.state));
    }
    assert.equal(hashes.size, 1, 'the replicas differ');
    await cluster.stopAll();
  }
}

const fileName = (n: number): string => `file-${n}`;

async function has(replica: RaftReplica, n: number): Promise<boolean> {
  const key = dentryKey(ROOT_INO, new TextEncoder().encode(fileName(n)));
  return (await replica.state.get(key)) !== undefined;
}

describe('replicas under failures', () => {
  let acknowledged = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    it(`seed ${seed}`, async () => {
      const simulation = new Simulation(seed);
      await simulation.start();
      for (let step = 0; step < STEPS; step++) await simulation.step();
      await simulation.finish();
      acknowledged += simulation.acknowledged.length;
    });
  }

  it('were not so bad that nothing was done', () => {
    assert.ok(acknowledged > SEEDS * 20, `${acknowledged} acknowledged`);
  });
});
