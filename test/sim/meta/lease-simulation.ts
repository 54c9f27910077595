import type { Ino } from '../../../src/base/ids.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { MetaClient } from '../../../src/client/meta-client.ts';
import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import type { CommitOk } from '../../../src/gen/ringfs/v1/namespace.ts';
import { MemoryNetwork } from '../../support/memory-rpc.ts';
import { LineLogger, MetaServerFixture } from '../../support/meta-server-fixture.ts';
import { bytes, mkfile, setAttr, truncate, unlink } from '../../support/namespace-ops.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

export interface LeaseSimulationOptions {
  readonly seed: number;
  readonly clients: number;
  readonly durationMs: number;
  /** Streams break and clients are cut off. */
  readonly faults: boolean;
  /** Leadership moves between the two servers. */
  readonly failovers: boolean;
}

const ROOT = 1 as Ino;
const FILES = 3;
const NAMES = ['x', 'y'];
const SERVERS = ['s1:1', 's2:1'];

/** A name that one client makes and removes. Between its commits everybody must agree on whether it exists. */
interface Toggled {
  exists: boolean;
  changing: boolean;
  /** Counts the commits that began. */
  changes: number;
}

/**
 * Real clients with real caches against two meta servers over one log, on a network with random delays. What any client reads,
 * from its cache or not, is checked against what had been acknowledged to anyone before the read began.
 */
export class LeaseSimulation {
  readonly timers = new VirtualTimers();
  readonly violations: string[] = [];
  reads = 0;
  commits = 0;
  hits = 0;
  recallsExpired = 0;
  readonly #options: LeaseSimulationOptions;
  readonly #random: Random;
  readonly #network: MemoryNetwork<MetaRequest, MetaReply>;
  readonly #servers: MetaServerFixture[];
  readonly #clients: MetaClient[] = [];
  readonly #inos: Ino[] = [ROOT];
  /** By inode: the highest version that somebody had been told of. */
  readonly #acknowledged = new Map<number, number>();
  readonly #toggled = new Map<string, Toggled>();
  #leader = 0;

  constructor(options: LeaseSimulationOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#network = new MemoryNetwork<MetaRequest, MetaReply>(
      { timers: this.timers },
      {
        latencyMs: () => this.#random.below(20),
        keepaliveMs: 1500,
        copyReply: (message) => structuredClone(message),
      },
    );
    const first = new MetaServerFixture({}, { timers: this.timers, id: 's1' });
    const { machine } = first.replica;
    this.#servers = [first, new MetaServerFixture({}, { timers: this.timers, id: 's2', machine })];
    this.#servers.forEach((server, i) => {
      this.#network.listen(SERVERS[i]!, server.server.accept);
    });
    for (const name of NAMES) this.#toggled.set(name, { exists: false, changing: false, changes: 0 });
  }

  async run(): Promise<void> {
    const { clients, durationMs, faults, failovers } = this.#options;
    this.#servers[0]!.replica.becomeLeader();
    for (let i = 0; i < clients; i++) this.#clients.push(this.#client(i));
    await this.timers.resolve(this.#makeFiles());
    const end = this.timers.nowMs() + durationMs;
    const loops = this.#clients.map((client, i) => this.#work(client, i, end));
    if (faults) loops.push(this.#breakThings(end));
    if (failovers) loops.push(this.#moveLeadership(end));
    await this.timers.resolve(Promise.all(loops));
    for (const client of this.#clients) this.hits += client.stats().cacheHits;
    await this.timers.resolve(Promise.all(this.#clients.map((client) => client.close())));
    for (const { server } of this.#servers) server.stop();
  }

  #client(i: number): MetaClient {
    return new MetaClient(
      {
        connector: this.#network.connector(`c${i}`),
        timers: this.timers,
        random: seededRandom(this.#options.seed * 100 + i),
        logger: new LineLogger(),
      },
      { addresses: SERVERS, clientName: `c${i}` },
    );
  }

  async #makeFiles(): Promise<void> {
    for (let i = 0; i < FILES; i++) {
      const ok = await this.#clients[0]!.commit([mkfile(ROOT, `f${i}`)]);
      this.#inos.push(ok.results[0]!.ino as Ino);
      this.#committed(ok);
    }
  }

  async #work(client: MetaClient, i: number, end: number): Promise<void> {
    while (this.timers.nowMs() < end) {
      const choice = this.#random.next();
      if (choice < 0.5) await this.#getattr(client, i);
      else if (choice < 0.7) await this.#lookupFile(client, i);
      else if (choice < 0.88) await this.#lookupToggled(client, i);
      else if (choice < 0.96 || i >= NAMES.length) await this.#change(client);
      else await this.#toggle(client, NAMES[i]!);
      await this.timers.sleep(this.#random.next() < 0.5 ? 0 : this.#random.below(40));
    }
  }

  async #getattr(client: MetaClient, i: number): Promise<void> {
    const ino = this.#pick(this.#inos);
    const floor = this.#acknowledged.get(ino) ?? 0;
    const attr = await client.getattr(ino);
    this.#read(`client ${i} getattr ${ino}`, ino, floor, attr.version);
  }

  async #lookupFile(client: MetaClient, i: number): Promise<void> {
    const file = this.#random.below(FILES);
    const ino = this.#inos[1 + file]!;
    const floor = this.#acknowledged.get(ino) ?? 0;
    const attr = await client.lookup(ROOT, bytes(`f${file}`));
    this.#read(`client ${i} lookup f${file}`, ino, floor, attr?.version ?? -1);
  }

  #read(what: string, ino: number, floor: number, version: number): void {
    this.reads++;
    if (version < floor) {
      this.violations.push(`${this.timers.nowMs()} ms: ${what} gave version ${version}, not ${floor}`);
    }
    // Another client that looks from now on must not see the time before, unless the cluster lost its leader in between.
    if (!this.#options.failovers) this.#raise(ino, version);
  }

  async #lookupToggled(client: MetaClient, i: number): Promise<void> {
    const name = this.#pick(NAMES);
    const toggled = this.#toggled.get(name)!;
    const { changes, exists, changing } = toggled;
    const found = (await client.lookup(ROOT, bytes(name))) !== undefined;
    this.reads++;
    if (changing || toggled.changes !== changes || found === exists) return;
    this.violations.push(
      `${this.timers.nowMs()} ms: client ${i}: ${name} ${found ? 'still exists' : 'is missing'}`,
    );
  }

  async #change(client: MetaClient): Promise<void> {
    const files = this.#inos.slice(1);
    const chosen = files.filter(() => this.#random.next() < 0.5);
    if (chosen.length === 0) return;
    const ops = chosen.map((ino) =>
      this.#random.next() < 0.5
        ? setAttr(ino, { mode: 0o600 + this.#random.below(64) })
        : truncate(ino, this.#random.below(1000)),
    );
    this.#committed(await client.commit(ops));
  }

  async #toggle(client: MetaClient, name: string): Promise<void> {
    const toggled = this.#toggled.get(name)!;
    toggled.changing = true;
    toggled.changes++;
    this.#committed(await client.commit([toggled.exists ? unlink(ROOT, name) : mkfile(ROOT, name)]));
    toggled.exists = !toggled.exists;
    toggled.changing = false;
  }

  #committed(ok: CommitOk): void {
    this.commits++;
    for (const { attr } of ok.touched) if (attr !== undefined) this.#raise(attr.ino, attr.version);
  }

  #raise(ino: number, version: number): void {
    this.#acknowledged.set(ino, Math.max(version, this.#acknowledged.get(ino) ?? 0));
  }

  async #breakThings(end: number): Promise<void> {
    while (this.timers.nowMs() < end) {
      await this.timers.sleep(this.#random.below(800));
      const client = `c${this.#random.below(this.#options.clients)}`;
      if (this.#random.next() < 0.5) {
        this.#network.breakStreams(client);
      } else {
        this.#network.partition([client], SERVERS);
        await this.timers.sleep(this.#random.below(2500));
        this.#network.heal();
      }
    }
    this.#network.heal();
  }

  /** The old leader's lease has ended when the new one begins; it learns of that later, and can commit nothing until then. */
  async #moveLeadership(end: number): Promise<void> {
    while (this.timers.nowMs() < end) {
      await this.timers.sleep(500 + this.#random.below(3000));
      const former = this.#servers[this.#leader]!.replica;
      const next = this.#servers[1 - this.#leader]!.replica;
      former.leaseOk = false;
      former.hold();
      let deposed: (() => void) | undefined;
      const learned = new Promise<void>((resolve) => {
        deposed = resolve;
      });
      former.barrier = () => learned;
      await this.timers.sleep(this.#random.below(200));
      next.leaseOk = true;
      next.release();
      next.becomeLeader();
      this.#leader = 1 - this.#leader;
      await this.timers.sleep(this.#random.below(700));
      former.becomeFollower(this.#random.next() < 0.5 ? next.id : undefined);
      former.barrier = undefined;
      deposed?.();
    }
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }
}
