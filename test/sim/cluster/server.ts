import { equalBytes } from '../../../src/base/bytes.ts';
import { asFsError } from '../../../src/base/errno.ts';
import type { ServerId } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import { ReadPoints } from '../../../src/client/read-points.ts';
import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import { MetaServer } from '../../../src/meta/meta-server.ts';
import { DataDirectoryError } from '../../../src/meta/raft/errors.ts';
import { RaftReplica } from '../../../src/meta/raft/raft-replica.ts';
import type { Replica } from '../../../src/meta/replica.ts';
import type { AskLeader } from '../../../src/meta/unleased-reads.ts';
import type { MemoryNetwork } from '../../support/memory-rpc.ts';
import { SimLogger, SimProcess, Violation } from '../harness/world.ts';
import type { ClusterChecks } from './checks.ts';
import { SimDisk } from './disk.ts';
import type { RaftLinks } from './links.ts';
import type { SimWorld } from './world.ts';

export interface SimServerComponents {
  readonly world: SimWorld;
  readonly network: MemoryNetwork<MetaRequest, MetaReply>;
  readonly links: RaftLinks;
  readonly checks: ClusterChecks;
  readonly processes: Map<string, SimProcess>;
  /** They carry clients' streams to the leader. */
  readonly relays: boolean;
  /** What a planted mistake puts between the replica and the meta server. */
  readonly wrapPoints: (ask: AskLeader) => AskLeader;
  readonly wrapReplica: (replica: RaftReplica, process: SimProcess) => Replica;
}

export interface SimServerOptions {
  readonly id: string;
  readonly clusterId: string;
  /** Empty: waits to be added. */
  readonly founders: readonly string[];
}

const RESTART_MS_MAX = 2_500;

export const addressOf = (id: string): string => `${id}:1`;

/** A machine with its disk, and the server process on it, which dies and is started again. */
export class SimServer {
  readonly id: ServerId;
  readonly address: string;
  readonly disk: SimDisk;
  readonly #c: SimServerComponents;
  readonly #options: SimServerOptions;
  readonly #random: Random;
  readonly #clockRate: number;
  #wallMs = 0;
  #lives = 0;
  #process: SimProcess | undefined;
  #replica: RaftReplica | undefined;
  /** Dies when it has passed so many failpoints. */
  #failpointsLeft: number | undefined;
  /** Only faults that were injected may stop a replica. */
  #mayFail = false;
  #damage: { readonly key: Uint8Array; readonly good: Uint8Array; readonly bad: Uint8Array } | undefined;
  /** Down for good. */
  retired = false;

  constructor(components: SimServerComponents, options: SimServerOptions) {
    const { world } = components;
    this.#c = components;
    this.#options = options;
    this.id = options.id as ServerId;
    this.address = addressOf(options.id);
    this.#random = world.random(`server ${options.id}`);
    this.#clockRate = 1 + (this.#random.next() * 2 - 1) * world.options.drift;
    this.disk = new SimDisk(world.random(`disk ${options.id}`), world.options.diskMs);
  }

  get process(): SimProcess | undefined {
    return this.#process;
  }

  /** While its process lives and has recovered. */
  get replica(): RaftReplica | undefined {
    return this.#replica;
  }

  start(): void {
    if (this.#process !== undefined || this.retired) return;
    const { world, network, links, checks, processes } = this.#c;
    this.#lives += 1;
    const process = new SimProcess(world, this.address, { rate: this.#clockRate, wallMs: this.#wallMs });
    this.#process = process;
    processes.set(this.address, process);
    world.trace(`${this.id} starts`);
    const logger = new SimLogger(process);
    const replica = this.#makeReplica(process, logger);
    const points = new ReadPoints(
      {
        connector: network.connector(this.address),
        timers: process,
        random: world.random(`points ${this.id} ${this.#lives}`),
        logger,
      },
      { name: `reads at ${this.id}`, clusterId: this.#options.clusterId },
    );
    const server = new MetaServer({
      askLeader: this.#c.wrapPoints(points.ask),
      ...(this.#c.relays && { connector: network.connector(this.address) }),
      replica: this.#c.wrapReplica(replica, process),
      timers: process,
      random: world.random(`meta ${this.id} ${this.#lives}`),
      logger,
    });
    replica.onApplied((batch) => {
      if (process.alive) checks.onOutcomes(this.id, batch, this.disk, replica.status().term);
    });
    network.listen(this.address, server.accept);
    server.start();
    replica.start().then(
      () => {
        if (!process.alive) return;
        this.#checkDamage();
        this.#replica = replica;
        links.attach({ id: this.id, address: this.address, process, receiver: replica });
      },
      (error: unknown) => {
        if (process.alive) this.#refused(error);
      },
    );
  }

  #makeReplica(process: SimProcess, logger: SimLogger): RaftReplica {
    const { world, links, checks } = this.#c;
    const { founders, clusterId } = this.#options;
    const { logMax, logKept } = world.options;
    let replica: RaftReplica | undefined;
    const observer = checks.observer(this.id, this.disk, () => replica?.status().term ?? 0);
    replica = new RaftReplica(
      {
        timers: process,
        random: world.random(`raft ${this.id} ${this.#lives}`),
        logger,
        transport: links.transport(this.id, process, (m) => checks.onSend(this.id, m, this.disk)),
        storage: this.disk.storage(process, observer),
        failpoint: (name) => this.#passFailpoint(process, name),
        onFailed: (reason) => this.#onFailed(process, reason),
      },
      {
        id: this.id,
        clusterId,
        members: founders.map((id) => ({ id: id as ServerId, address: addressOf(id) })),
        replicas: 3,
        stateChecks: { intervalMs: 700, waitMs: 300, auditIntervalMs: 1_500, auditPauseMs: 5 },
        logLimits: { bytesMax: 1 << 20, entriesMax: logMax, entriesKept: logKept, bytesHeldMax: 1 << 20 },
      },
    );
    return replica;
  }

  #refused(error: unknown): void {
    const { world } = this.#c;
    world.trace(`${this.id} refuses to start: ${(error as Error).message}`);
    world.counts.refusedStarts += 1;
    const damage = this.#damage;
    if (error instanceof DataDirectoryError) {
      if (damage === undefined) {
        world.fail(new Violation('start', `${this.id} refused a sound directory: ${error.message}`));
      }
      if (!error.message.includes('damaged')) {
        world.fail(new Violation('start', `${this.id} does not say what is wrong: ${error.message}`));
      }
    } else if (!this.#mayFail && !(this.disk.full && asFsError(error).code === 'ENOSPC')) {
      // A start may have to write, such as to finish what a crash cut short. On a full disk it is tried again.
      world.fail(new Violation('start', `${this.id} did not start: ${String(error)}`, { cause: error }));
    }
    if (damage !== undefined) {
      this.disk.memory.logRows.writeSync([{ type: 'put', key: damage.key, value: damage.good }]);
      this.#damage = undefined;
    }
    this.crash(false);
    this.restartLater();
  }

  /** A start that succeeds must not have read what was damaged: it may have been dropped, or come back from the durable log. */
  #checkDamage(): void {
    if (this.#damage === undefined) return;
    const { key, bad } = this.#damage;
    this.#damage = undefined;
    const now = this.disk.memory.logRows.getSync(key);
    if (now === undefined || !equalBytes(now, bad)) return;
    this.#c.world.fail(new Violation('damage', `${this.id} started from a damaged log`));
  }

  /** Damages what a start reads; the start after the next finds it as it was. */
  damage(): void {
    if (this.#process !== undefined || this.#damage !== undefined) return;
    const rows = this.disk.memory.logRows;
    const all = rows.dumpSync();
    const hit = all[this.#random.below(all.length)];
    if (hit === undefined) return;
    const [key, value] = hit;
    const bad = value.slice();
    const at = this.#random.below(bad.length);
    bad[at] = bad[at]! ^ (1 << this.#random.below(8));
    rows.writeSync([{ type: 'put', key, value: bad }]);
    this.#damage = { key, good: value, bad };
    this.#c.world.trace(`${this.id} has a damaged record`);
  }

  #onFailed(process: SimProcess, reason: string): void {
    if (!process.alive) return;
    const { world } = this.#c;
    world.trace(`${this.id} failed: ${reason}`);
    if (!this.#mayFail) world.fail(new Violation('replica-failed', `${this.id}: ${reason}`));
    // As the server process does.
    process.after(1, () => {
      this.crash(false);
      this.restartLater();
    });
  }

  armFailpoint(passes: number): void {
    this.#failpointsLeft = passes;
  }

  #passFailpoint(process: SimProcess, name: string): void {
    if (!process.alive || this.#failpointsLeft === undefined) return;
    this.#failpointsLeft -= 1;
    if (this.#failpointsLeft > 0) return;
    this.#c.world.trace(`${this.id} dies ${name}`);
    this.#c.world.counts.failpoints += 1;
    this.crash(this.#random.below(2) === 0);
    this.restartLater();
    throw new Error(`died ${name}`);
  }

  failNextRead(): void {
    this.disk.nextReadFails = true;
    this.#mayFail = true;
  }

  jump(ms: number): void {
    this.#wallMs += ms;
    this.#process?.jump(ms);
  }

  /** The process dies, and with `power` the machine. */
  crash(power: boolean): void {
    const process = this.#process;
    if (process === undefined) return;
    const { world, network, links, processes } = this.#c;
    world.trace(`${this.id} ${power ? 'loses power' : 'dies'}`);
    world.counts.crashes += 1;
    process.alive = false;
    processes.delete(this.address);
    this.#process = undefined;
    this.#replica = undefined;
    this.#failpointsLeft = undefined;
    this.#mayFail = false;
    this.disk.nextReadFails = false;
    links.detach(this.id);
    this.disk.crash(power);
    network.kill(this.address);
  }

  restartLater(): void {
    const { world } = this.#c;
    const { damage } = world.options;
    world.queue.after(20 + this.#random.below(RESTART_MS_MAX), () => {
      if (this.#process !== undefined) return;
      if (world.healing === false && this.#random.next() < damage) this.damage();
      this.start();
    });
  }

  /** Whatever is broken here is whole again. */
  mend(): void {
    this.disk.full = false;
    this.disk.stalledUntilMs = 0;
    this.disk.nextReadFails = false;
    this.#failpointsLeft = undefined;
    if (this.#process === undefined && !this.retired) this.start();
  }

  /** Its machine is taken away. */
  retire(): void {
    this.retired = true;
    this.crash(false);
  }
}
