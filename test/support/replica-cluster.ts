import { strict as assert } from 'node:assert';
import { ROOT_INO, type ServerId } from '../../src/base/ids.ts';
import { seededRandom } from '../../src/base/random.ts';
import { Command } from '../../src/gen/ringfs/v1/namespace.ts';
import type { LogLimits } from '../../src/meta/raft/compactor.ts';
import type { Failpoint } from '../../src/meta/raft/failpoint.ts';
import { RaftReplica } from '../../src/meta/raft/raft-replica.ts';
import type { StateCheckLimits } from '../../src/meta/raft/state-check-limits.ts';
import type { Applied } from '../../src/meta/replica.ts';
import type { KvStore } from '../../src/ports/kv-store.ts';
import type { MetaStorage } from '../../src/ports/meta-storage.ts';
import { MemoryRaftNetwork } from './memory-raft-network.ts';
import { mkfile } from './namespace-ops.ts';
import { RecordingLogger } from './recording-logger.ts';
import { SteppedTimers } from './stepped-timers.ts';

export const CLUSTER_ID = '6f1c1c1e-0000-4000-8000-000000000001';

export interface ClusterOptions {
  readonly ids?: readonly string[];
  readonly storage: (id: ServerId) => Promise<MetaStorage>;
  readonly logLimits?: LogLimits;
  readonly failpoint?: (id: ServerId) => Failpoint;
  readonly stateChecks?: StateCheckLimits;
  readonly beforeTakingPart?: (id: ServerId) => void;
  /** Replicas are started as ones that have taken part before. */
  readonly restarts?: boolean;
}

/** Drivers over an in-memory network and virtual time. Stores may be real: time waits for them. */
export class ReplicaCluster {
  readonly timers = new SteppedTimers();
  readonly logger = new RecordingLogger();
  readonly network = new MemoryRaftNetwork(CLUSTER_ID);
  readonly ids: readonly ServerId[];
  readonly replicas = new Map<ServerId, RaftReplica>();
  /** What each life of each replica applied, in order. */
  readonly applied = new Map<ServerId, Applied[]>();
  readonly roles: { readonly id: ServerId; readonly role: string; readonly term: number }[] = [];
  /** Replicas that said that only a new start helps. */
  readonly failures: { readonly id: ServerId; readonly reason: string }[] = [];
  readonly #options: ClusterOptions;
  readonly #busy = { calls: 0 };
  #seed = 1;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.ids = (options.ids ?? ['s1', 's2', 's3']) as ServerId[];
  }

  async startAll(): Promise<void> {
    for (const id of this.ids) await this.start(id);
  }

  /** One beyond those that the cluster begins with waits to be added. */
  async start(id: ServerId, clusterId = CLUSTER_ID): Promise<RaftReplica> {
    const replica = await this.create(id, clusterId);
    await replica.start();
    this.replicas.set(id, replica);
    this.network.attach(id, replica);
    return replica;
  }

  #beforeTakingPart(id: ServerId): { readonly beforeTakingPart?: () => void } {
    const { beforeTakingPart } = this.#options;
    return beforeTakingPart === undefined ? {} : { beforeTakingPart: () => beforeTakingPart(id) };
  }

  /** Not started, not in the network. */
  async create(id: ServerId, clusterId = CLUSTER_ID): Promise<RaftReplica> {
    const founders = this.ids.includes(id) ? this.ids : [];
    const replica = new RaftReplica(
      {
        timers: this.timers,
        random: seededRandom(this.#seed++),
        logger: this.logger,
        transport: this.network.transport(id),
        storage: countCalls(await this.#options.storage(id), this.#busy),
        onFailed: (reason) => this.failures.push({ id, reason }),
        ...(this.#options.failpoint === undefined ? {} : { failpoint: this.#options.failpoint(id) }),
        ...this.#beforeTakingPart(id),
      },
      {
        id,
        clusterId,
        members: founders.map((member) => ({ id: member, address: `${member}:1` })),
        replicas: 3,
        restarts: this.#options.restarts === true,
        ...(this.#options.logLimits === undefined ? {} : { logLimits: this.#options.logLimits }),
        ...(this.#options.stateChecks === undefined ? {} : { stateChecks: this.#options.stateChecks }),
      },
    );
    const applied: Applied[] = [];
    this.applied.set(id, applied);
    replica.onApplied((batch) => applied.push(...batch));
    replica.onRoleChange((role, term) => this.roles.push({ id, role, term }));
    return replica;
  }

  async stop(id: ServerId): Promise<void> {
    this.network.detach(id);
    const replica = this.get(id);
    this.replicas.delete(id);
    await replica.stop();
  }

  async stopAll(): Promise<void> {
    for (const id of [...this.replicas.keys()]) await this.stop(id);
  }

  /** As if its process had died; its storage must be of a kind that ignores it afterwards. */
  abandon(id: ServerId): void {
    this.network.detach(id);
    const replica = this.get(id);
    this.replicas.delete(id);
    // Its timers would tick on.
    replica.stop().catch(() => undefined);
  }

  get(id: ServerId): RaftReplica {
    const replica = this.replicas.get(id);
    assert(replica !== undefined, `${id} is not running`);
    return replica;
  }

  leader(): RaftReplica | undefined {
    return [...this.replicas.values()].find((r) => r.isLeader());
  }

  followers(): RaftReplica[] {
    return [...this.replicas.values()].filter((r) => !r.isLeader());
  }

  /** Waits until nothing moves without time passing. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 4; quiet++) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#busy.calls > 0 || this.network.inFlight > 0) quiet = 0;
    }
  }

  /** Lets time pass in small steps until `condition` holds. */
  async until(condition: () => boolean, what: string, stepsMax = 3000): Promise<void> {
    for (let step = 0; step < stepsMax; step++) {
      await this.settle();
      if (condition()) return;
      this.timers.advance(10);
    }
    const states = [...this.replicas.values()].map((r) => JSON.stringify({ ...r.status(), ...r.health() }));
    assert.fail(`never happened: ${what}\n${states.join('\n')}`);
  }

  /** Lets time pass while `work` is in progress. */
  async during<T>(work: Promise<T>, what: string): Promise<T> {
    let done = false;
    const finished = work.finally(() => {
      done = true;
    });
    finished.catch(() => undefined);
    await this.until(() => done, what);
    return await finished;
  }

  async elect(): Promise<RaftReplica> {
    await this.until(() => this.leader() !== undefined, 'a leader');
    const leader = this.leader();
    assert(leader !== undefined);
    return leader;
  }

  async untilCaughtUp(): Promise<void> {
    await this.until(() => {
      const all = [...this.replicas.values()];
      const index = Math.max(...all.map((r) => r.status().lastIndex));
      return all.every((r) => r.appliedIndex() === index);
    }, 'all replicas have applied everything');
  }
}

/** A command whose effect shows in the state, told apart by `n`. */
export function openSessionCommand(n: number, clientBytes = 0): Uint8Array {
  const nonce = new Uint8Array(16);
  new DataView(nonce.buffer).setUint32(0, n);
  const client = `client-${n}`.padEnd(clientBytes, '.');
  const value = { nonce, client, time: { sec: 1, nsec: 0 } };
  return Command.encode({ body: { $case: 'openSession', value } }).finish();
}

/** Creates `name` in the root directory. A session's commits are numbered from 1 in the order in which they are proposed. */
export function createFileCommand(session: number, sequence: number, name: string): Uint8Array {
  const value = {
    session,
    sequence,
    ackedBelow: sequence,
    time: { sec: 1, nsec: 0 },
    preconditions: [],
    ops: [mkfile(ROOT_INO, name)],
    assumedBlocks: [],
  };
  return Command.encode({ body: { $case: 'commit', value } }).finish();
}

function countCalls(storage: MetaStorage, busy: { calls: number }): MetaStorage {
  const count = async <T>(work: Promise<T>): Promise<T> => {
    busy.calls++;
    try {
      return await work;
    } finally {
      busy.calls--;
    }
  };
  const wrap = (kv: KvStore): KvStore => ({
    get: (key) => count(kv.get(key)),
    getMany: (keys) => count(kv.getMany(keys)),
    write: (batch, options) => count(kv.write(batch, options)),
    scan: (range) => {
      const scan = kv.scan(range);
      return {
        next: () => count(scan.next()),
        return: () => count(scan.return?.() ?? Promise.resolve({ done: true as const, value: undefined })),
        [Symbol.asyncIterator]() {
          return this;
        },
      };
    },
    clear: (range) => count(kv.clear(range)),
    close: () => count(kv.close()),
  });
  return {
    location: storage.location,
    openLog: () => count(storage.openLog().then(wrap)),
    openState: (name) => count(storage.openState(name).then(wrap)),
    states: () => count(storage.states()),
    current: () => count(storage.current()),
    switchTo: (name) => count(storage.switchTo(name)),
    removeState: (name) => count(storage.removeState(name)),
  };
}
