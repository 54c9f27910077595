import type { Ino } from '../../../src/base/ids.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { MetaClient } from '../../../src/client/meta-client.ts';
import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import type { CommitOk, Op } from '../../../src/gen/ringfs/v1/namespace.ts';
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
  /** By inode: the highest version that a commit was acknowledged with. */
  readonly #acknowledged = new Map<number, number>();
  /** By inode: the highest version that was read. */
  readonly #seen = new Map<number, number>();
  /** By client: inodes of its commits that are not answered yet. Its cache shows the time before them, while others may
   * see them already. */
  readonly #changing: number[][] = [];
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
    for (let i = 0; i < clients; i++) this.#newClient(i);
    await this.timers.resolve(this.#makeFiles());
    const end = this.timers.nowMs() + durationMs;
    const loops = this.#clients.map((client, i) => this.#work(client, i, end));
    // One reader per inode: what is cached goes on being read while reads of something else wait for the cluster.
    for (const [i, client] of this.#clients.entries()) {
      for (const ino of this.#inos) loops.push(this.#watch(client, i, ino, end));
    }
    if (faults) loops.push(this.#breakThings(end));
    if (failovers) loops.push(this.#moveLeadership(end));
    await this.timers.resolve(Promise.all(loops));
    for (const client of this.#clients) this.hits += client.stats().cacheHits;
    await this.timers.resolve(Promise.all(this.#clients.map((client) => client.close())));
    for (const { server } of this.#servers) server.stop();
  }

  #newClient(i: number): void {
    this.#changing.push([]);
    const client = new MetaClient(
      {
        connector: this.#network.connector(`c${i}`),
        timers: this.timers,
        random: seededRandom(this.#options.seed * 100 + i),
        logger: new LineLogger(),
      },
      { addresses: SERVERS, clientName: `c${i}` },
    );
    this.#clients.push(client);
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
      if (choice < 0.4) await this.#getattr(client, i);
      else if (choice < 0.55) await this.#lookupFile(client, i);
      else if (choice < 0.75) await this.#lookupToggled(client, i);
      else if (choice < 0.9 || i >= NAMES.length) await this.#change(client, i);
      else await this.#toggle(client, i, NAMES[i]!);
      await this.timers.sleep(this.#random.next() < 0.5 ? 0 : this.#random.below(40));
    }
  }

  async #watch(client: MetaClient, i: number, ino: Ino, end: number): Promise<void> {
    while (this.timers.nowMs() < end) {
      await this.#getattr(client, i, ino);
      await this.timers.sleep(this.#random.below(60));
    }
  }

  async #getattr(client: MetaClient, i: number, ino = this.#pick(this.#inos)): Promise<void> {
    const floor = this.#floor(i, ino);
    const attr = await client.getattr(ino);
    this.#read(`client ${i} getattr ${ino}`, ino, floor, attr.version);
  }

  async #lookupFile(client: MetaClient, i: number): Promise<void> {
    const file = this.#random.below(FILES);
    const ino = this.#inos[1 + file]!;
    const floor = this.#floor(i, ino);
    const attr = await client.lookup(ROOT, bytes(`f${file}`));
    this.#read(`client ${i} lookup f${file}`, ino, floor, attr?.version ?? -1);
  }

  #read(what: string, ino: number, floor: number, version: number): void {
    this.reads++;
    if (version < floor) {
      this.violations.push(`${this.timers.nowMs()} ms: ${what} gave version ${version}, not ${floor}`);
    }
    // Another client that looks from now on must not see the time before, unless the cluster lost its leader in between.
    if (!this.#options.failovers) raise(this.#seen, ino, version);
  }

  /** The version that client `i` must not read behind. */
  #floor(i: number, ino: number): number {
    const acknowledged = this.#acknowledged.get(ino) ?? 0;
    return this.#changing[i]!.includes(ino) ? acknowledged : Math.max(acknowledged, this.#seen.get(ino) ?? 0);
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

  async #change(client: MetaClient, i: number): Promise<void> {
    const files = this.#inos.slice(1);
    const chosen = files.filter(() => this.#random.next() < 0.5);
    if (chosen.length === 0) return;
    const ops = chosen.map((ino) =>
      this.#random.next() < 0.5
        ? setAttr(ino, { mode: 0o600 + this.#random.below(64) })
        : truncate(ino, this.#random.below(1000)),
    );
    await this.#commit(client, i, chosen, ops);
  }

  async #toggle(client: MetaClient, i: number, name: string): Promise<void> {
    const toggled = this.#toggled.get(name)!;
    toggled.changing = true;
    toggled.changes++;
    await this.#commit(client, i, [ROOT], [toggled.exists ? unlink(ROOT, name) : mkfile(ROOT, name)]);
    toggled.exists = !toggled.exists;
    toggled.changing = false;
  }

  async #commit(client: MetaClient, i: number, inos: readonly Ino[], ops: Op[]): Promise<void> {
    const changing = this.#changing[i]!;
    changing.push(...inos);
    this.#committed(await client.commit(ops));
    for (const ino of inos) changing.splice(changing.indexOf(ino), 1);
  }

  #committed(ok: CommitOk): void {
    this.commits++;
    for (const { attr } of ok.touched) {
      if (attr !== undefined) raise(this.#acknowledged, attr.ino, attr.version);
    }
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
      // Somebody who hears nothing of the change goes on reading its cache as long as it may.
      const cutOff = this.#options.faults && this.#random.next() < 0.5;
      if (cutOff) this.#network.partition([`c${this.#random.below(this.#options.clients)}`], SERVERS);
      former.leaseOk = false;
      former.hold();
      let deposed: (() => void) | undefined;
      const learned = new Promise<void>((resolve) => {
        deposed = resolve;
      });
      former.barrier = () => learned;
      await this.timers.sleep(this.#random.below(100));
      next.leaseOk = true;
      next.release();
      next.becomeLeader();
      this.#leader = 1 - this.#leader;
      await this.timers.sleep(this.#random.below(this.#random.next() < 0.5 ? 50 : 700));
      former.becomeFollower(this.#random.next() < 0.5 ? next.id : undefined);
      former.barrier = undefined;
      deposed?.();
      if (cutOff) this.#network.heal();
    }
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }
}

function raise(versions: Map<number, number>, ino: number, version: number): void {
  versions.set(ino, Math.max(version, versions.get(ino) ?? 0));
}
