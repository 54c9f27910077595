import type { Ino } from '../../../src/base/ids.ts';
import { ROOT_INO } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import type { MetaClient } from '../../../src/client/meta-client.ts';
import { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import type { RpcConnector } from '../../../src/ports/rpc.ts';
import { MemoryNetwork } from '../../support/memory-rpc.ts';
import { mkdir, mkfile } from '../../support/namespace-ops.ts';
import { Over, Passage } from '../harness/passage.ts';
import { SimProcess, Violation } from '../harness/world.ts';
import { ClusterChecks } from './checks.ts';
import { type Playground, SimClient, type SimClientComponents } from './client.ts';
import { type Breakable, Faults } from './faults.ts';
import { Histories } from './histories.ts';
import { RaftLinks } from './links.ts';
import type { Mutation } from './mutations.ts';
import type { SimCounts, SimOptions } from './options.ts';
import { addressOf, SimServer, type SimServerComponents } from './server.ts';
import { SimWorld } from './world.ts';

export const CLUSTER_ID = '6f1c1c1e-0000-4000-8000-000000000001';
const LOCK_FILES = 2;
const SERVERS_EVER_MAX = 8;
/** Until then a new cluster has to serve. */
const BEGIN_MS_MAX = 30_000;
/** After everything has been mended, all operations end and all replicas agree within this time. */
const HEAL_MS_MAX = 60_000;
const LEASE_CHECK_MS = 50;

export interface RunOptions {
  /** A planted mistake, which a checker has to find. */
  readonly mutation?: Mutation;
  /** Only these checks speak. Default: all. */
  readonly only?: readonly string[];
  readonly onTrace?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly violation: Violation | undefined;
  readonly counts: SimCounts;
  /** Equal for equal seeds and options. */
  readonly digest: string;
  readonly lastLines: readonly string[];
}

/** Runs the whole metadata path under `options`, with luck drawn from `seed`, in virtual time. */
export async function runSimulation(
  seed: number,
  options: SimOptions,
  run: RunOptions = {},
): Promise<RunResult> {
  const simulation = new Simulation(seed, options, run);
  await simulation.run();
  const { world } = simulation;
  world.counts.simulatedMs = Math.round(world.nowMs);
  return {
    seed,
    violation: world.violation,
    counts: world.counts,
    digest: world.digest(),
    lastLines: world.lastLines,
  };
}

class Simulation implements Breakable {
  readonly world: SimWorld;
  readonly #network: MemoryNetwork<MetaRequest, MetaReply>;
  readonly #links: RaftLinks;
  readonly #checks: ClusterChecks;
  readonly #histories: Histories;
  readonly #processes = new Map<string, SimProcess>();
  readonly #servers = new Map<string, SimServer>();
  readonly #clients = new Map<string, SimClient>();
  readonly #playground: Playground;
  readonly #mutation: Mutation | undefined;
  readonly #passage: Passage;
  readonly #relays: boolean;
  #clientsEver = 0;

  constructor(seed: number, options: SimOptions, run: RunOptions) {
    this.world = new SimWorld(seed, options, run);
    this.#passage = new Passage(this.world, () => {
      this.world.counts.events += 1;
    });
    this.#mutation = run.mutation;
    this.#relays = this.world.random('relays').next() < options.relaying;
    this.#network = this.#makeNetwork();
    this.#links = new RaftLinks(this.world, CLUSTER_ID);
    this.#links.tampering = this.#mutation?.links?.(this.world) ?? {};
    this.#checks = new ClusterChecks(this.world);
    this.#histories = new Histories(this.world);
    const files = Array.from({ length: options.groups }, () => []);
    this.#playground = { directories: new Map(), files, lockFiles: [] };
  }

  #makeNetwork(): MemoryNetwork<MetaRequest, MetaReply> {
    const { world } = this;
    const random = world.random('network');
    const clock = { rate: 1, wallMs: 0 };
    const dead = new SimProcess(world, 'dead', clock);
    dead.alive = false;
    return new MemoryNetwork<MetaRequest, MetaReply>(
      { timers: new SimProcess(world, 'network', clock) },
      {
        latencyMs: () => 0.1 + random.next() * world.options.delayMs,
        keepaliveMs: 1_500,
        process: (name) => {
          const process = this.#processes.get(name) ?? dead;
          return { timers: process, run: (action) => process.run(action) };
        },
        copyRequest: (m: MetaRequest) => MetaRequest.decode(MetaRequest.encode(m).finish()),
        copyReply: (m: MetaReply) => MetaReply.decode(MetaReply.encode(m).finish()),
      },
    );
  }

  async run(): Promise<void> {
    try {
      await this.#begin();
      if (this.#mutation?.faults === undefined) new Faults(this).start();
      else this.#mutation.faults(this);
      await this.#passage.pass(this.world.options.seconds * 1_000);
      await this.#heal();
      await this.#audit();
      this.#histories.check();
    } catch (error) {
      if (!(error instanceof Over)) {
        const why = error instanceof Error ? error.stack : String(error);
        this.world.fail(new Violation('simulation', `the simulator itself failed: ${why}`, { cause: error }));
      }
    } finally {
      for (const process of this.#processes.values()) process.alive = false;
    }
  }

  // Phases ------------------------------------------------------------------------------------------------

  async #begin(): Promise<void> {
    const { servers, clients, fibers } = this.world.options;
    const founders = Array.from({ length: servers }, (_, i) => `s${i + 1}`);
    for (const id of founders) this.#makeServer(id, founders).start();
    for (let i = 0; i < clients; i++) this.#makeClient();
    const [first] = this.#clients.values();
    if (first === undefined) throw new RangeError('a run needs a client');
    await this.#resolve(this.#prepare(first), BEGIN_MS_MAX, 'the beginning');
    for (const client of this.#clients.values()) client.start(fibers);
    this.#watchLeases();
  }

  async #prepare(client: SimClient): Promise<void> {
    const { directories, lockFiles } = this.#playground;
    for (let group = 0; group < this.world.options.groups; group++) {
      for (const side of ['a', 'b']) {
        const name = `g${group}${side}`;
        const { results } = await client.commit([mkdir(ROOT_INO, name)]);
        directories.set(name, results[0]!.ino as Ino);
      }
    }
    for (let i = 0; i < LOCK_FILES; i++) {
      const { results } = await client.commit([mkfile(ROOT_INO, `lock${i}`)]);
      lockFiles.push(results[0]!.ino as Ino);
    }
  }

  /** Mends everything; then all operations must end, and all members agree. */
  async #heal(): Promise<void> {
    this.world.trace('everything is mended');
    this.world.healing = true;
    this.#network.heal();
    this.#links.calm();
    for (const server of this.#servers.values()) server.mend();
    const quiet = (): boolean => {
      for (const client of this.#clients.values()) if (client.running > 0) return false;
      return this.#agree();
    };
    await this.#passage.until(
      quiet,
      HEAL_MS_MAX,
      () => `operations do not end, or replicas do not agree: ${this.#state()}`,
    );
  }

  #agree(): boolean {
    const leader = this.leader()?.replica;
    if (leader === undefined) return false;
    const { voters, learners, lastIndex, commitIndex } = leader.status();
    if (commitIndex !== lastIndex) return false;
    return [...voters, ...learners].every((id) => {
      const replica = this.#servers.get(id)?.replica;
      return replica?.health().status === 'ok' && replica.appliedIndex() === lastIndex;
    });
  }

  #state(): string {
    const lines: string[] = [];
    for (const server of this.#servers.values()) {
      const { replica } = server;
      const what =
        replica === undefined ? 'down' : JSON.stringify({ ...replica.status(), ...replica.health() });
      lines.push(`${server.id}: ${what}`);
    }
    for (const client of this.#clients.values()) {
      lines.push(`${client.name}: ${client.running} callers, ${JSON.stringify(client.client.stats())}`);
    }
    return lines.join('\n');
  }

  #countWays(client: MetaClient): void {
    const { followerReads, relayed } = client.stats();
    this.world.counts.followerReads += followerReads;
    this.world.counts.relayed += relayed;
  }

  /** Somebody new looks at everything. */
  async #audit(): Promise<void> {
    for (const { client } of this.#clients.values()) {
      this.#countWays(client);
    }
    const auditor = this.#makeClient();
    const look = async (): Promise<void> => {
      for (let group = 0; group < this.world.options.groups; group++) {
        for (const side of ['a', 'b']) {
          await auditor.perform(group, { kind: 'list', directory: `g${group}${side}` }, 'auditor');
        }
        for (const file of this.#playground.files[group]!) {
          await auditor.perform(group, { kind: 'stat', file }, 'auditor');
          await auditor.perform(group, { kind: 'read', file }, 'auditor');
        }
      }
    };
    await this.#resolve(look(), HEAL_MS_MAX, 'the audit');
    await this.#passage.until(
      () => this.#agree(),
      HEAL_MS_MAX,
      () => `replicas do not agree: ${this.#state()}`,
    );
  }

  /** Two leases at one time would let two leaders answer. */
  #watchLeases(): void {
    const holders = [...this.#servers.values()].filter(
      ({ replica, process }) => replica?.leaseValid() === true && process?.paused === false,
    );
    if (holders.length > 1) {
      this.world.fail(new Violation('lease', `held by ${holders.map(({ id }) => id).join(' and ')}`));
    }
    this.world.queue.after(LEASE_CHECK_MS, () => this.#watchLeases());
  }

  #resolve<T>(promise: Promise<T>, limitMs: number, what: string): Promise<T> {
    return this.#passage.resolve(promise, limitMs, () => `${what} does not end: ${this.#state()}`);
  }

  // Breakable ---------------------------------------------------------------------------------------------

  servers(): readonly SimServer[] {
    return [...this.#servers.values()].filter((server) => !server.retired);
  }

  leader(): SimServer | undefined {
    const term = ({ replica }: SimServer): number => (replica?.isLeader() ? replica.status().term : 0);
    return this.servers()
      .filter((server) => server.replica?.isLeader())
      .sort((a, b) => term(b) - term(a))[0];
  }

  addServer(): SimServer | undefined {
    if (this.#servers.size >= SERVERS_EVER_MAX) return undefined;
    return this.#makeServer(`s${this.#servers.size + 1}`, []);
  }

  clientNames(): readonly string[] {
    return [...this.#clients.keys()];
  }

  crashClient(name: string): void {
    const client = this.#clients.get(name);
    if (client === undefined) return;
    this.#countWays(client.client);
    this.world.trace(`${name} dies`);
    client.kill();
    this.#clients.delete(name);
    this.#network.kill(name);
    this.#makeClient().start(this.world.options.fibers);
  }

  cutRaft(from: string, to: string): void {
    this.#links.network.cut(from, to);
  }

  healRaft(from: string, to: string): void {
    this.#links.network.heal(from, to);
  }

  slowRaft(from: string, to: string, delayMs: number): void {
    this.#links.network.slow(from, to, delayMs);
  }

  cutRpc(from: string, to: string, bothWays: boolean): void {
    if (bothWays) this.#network.partition([from], [to]);
    else this.#network.cutOneWay(from, to);
  }

  healRpc(): void {
    this.#network.heal();
  }

  breakStreams(name: string): void {
    this.#network.breakStreams(name);
  }

  anyProcess(random: Random): SimProcess | undefined {
    const all = [...this.#processes.values()];
    return all[random.below(all.length)];
  }

  // Making ------------------------------------------------------------------------------------------------

  #makeServer(id: string, founders: readonly string[]): SimServer {
    const components: SimServerComponents = {
      world: this.world,
      network: this.#network,
      links: this.#links,
      checks: this.#checks,
      processes: this.#processes,
      relays: this.#relays,
      wrapPoints: (ask) => this.#mutation?.points?.(ask) ?? ask,
      wrapReplica: (replica) => this.#mutation?.replica?.(replica, this.world) ?? replica,
    };
    const server = new SimServer(components, { id, clusterId: CLUSTER_ID, founders });
    this.#mutation?.disk?.(server.disk, id);
    this.#servers.set(id, server);
    return server;
  }

  #makeClient(): SimClient {
    this.#clientsEver += 1;
    const connector = (name: string): RpcConnector<MetaRequest, MetaReply> => {
      const real = this.#network.connector(name);
      return this.#mutation?.connector?.(real) ?? real;
    };
    const components: SimClientComponents = {
      world: this.world,
      checks: this.#checks,
      histories: this.#histories,
      connector,
      processes: this.#processes,
    };
    const addresses = Array.from({ length: this.world.options.servers }, (_, i) => addressOf(`s${i + 1}`));
    const options = { name: `c${this.#clientsEver}`, addresses, clusterId: CLUSTER_ID };
    const client = new SimClient(components, options, this.#playground);
    this.#clients.set(client.name, client);
    return client;
  }
}
