import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../src/base/random.ts';
import type { ServerProcesses } from './server-processes.ts';
import type { Finished } from './test-cluster.ts';

export interface BlockChurnOptions {
  /** Servers at the beginning, and around which their number stays. */
  readonly servers: number;
  /** Up to this many are down at one time: fewer than there are copies. */
  readonly downMax: number;
  /** How long a killed one is away: up to this. */
  readonly downMs: number;
  readonly say: (what: string) => void;
}

export type Disturbance = 'kill' | 'restart' | 'add' | 'drain';

/** Kills, restarts, adds, drains, removes and takes back real servers. */
export class BlockChurn {
  readonly #servers: ServerProcesses;
  readonly #random: Random;
  readonly #options: BlockChurnOptions;
  /** Those that an operator is busy with, or that are away. */
  readonly #away = new Set<string>();
  readonly #draining = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  readonly counts = { kills: 0, restarts: 0, adds: 0, drains: 0, removals: 0, takenBack: 0 };
  readonly failures: string[] = [];

  constructor(
    components: { readonly servers: ServerProcesses; readonly random: Random },
    options: BlockChurnOptions,
  ) {
    this.#servers = components.servers;
    this.#random = components.random;
    this.#options = options;
  }

  /** One of what is possible now. Returns when it has begun. */
  disturb(): void {
    const { servers, downMax } = this.#options;
    const possible: Disturbance[] = [];
    if (this.#away.size < downMax) possible.push('kill', 'kill', 'restart');
    if (this.#servers.ids.length < servers + 2) possible.push('add');
    if (this.#draining.size === 0 && this.#servers.ids.length >= servers - 1) possible.push('drain');
    const kind = possible[this.#random.below(possible.length)];
    if (kind !== undefined) this.#track(this.carryOut(kind));
  }

  /** Until it is over: what was killed is back, what was drained is removed. */
  async carryOut(kind: Disturbance): Promise<void> {
    switch (kind) {
      case 'kill':
        return this.#outage('SIGKILL');
      case 'restart':
        return this.#outage('SIGTERM');
      case 'add':
        return this.#add();
      case 'drain':
        return this.#drain();
    }
  }

  /** Until everything that has begun is over. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #track(action: Promise<void>): void {
    const tracked = action.catch((error: unknown) => {
      this.failures.push(String(error));
    });
    this.#underWay.add(tracked);
    void tracked.finally(() => this.#underWay.delete(tracked));
  }

  #pick(ids: readonly string[]): string | undefined {
    return ids[this.#random.below(Math.max(1, ids.length))];
  }

  async #outage(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    // Two metadata servers at a time would be another experiment.
    const metaAway = [...this.#away].some((id) => this.#servers.isMeta(id));
    const id = this.#pick(
      this.#servers.running.filter((one) => !this.#away.has(one) && !(metaAway && this.#servers.isMeta(one))),
    );
    if (id === undefined) return;
    this.#away.add(id);
    this.counts[signal === 'SIGKILL' ? 'kills' : 'restarts']++;
    const ms = this.#random.below(this.#options.downMs);
    this.#options.say(`${signal} ${id} for ${ms} ms`);
    await this.#servers.end(id, signal);
    await sleep(ms);
    this.#servers.start(id);
    // Until it is in the ring again it counts as one that is down.
    await this.#servers.allAlive([id]);
    this.#away.delete(id);
  }

  async #add(): Promise<void> {
    const id = this.#servers.make();
    this.counts.adds++;
    this.#options.say(`add ${id}`);
    this.#servers.start(id);
    await this.#servers.allAlive([id]);
  }

  /** A metadata server is taken back as a block node, another one may go for good with its disk. */
  async #drain(): Promise<void> {
    const id = this.#pick(this.#servers.running.filter((one) => !this.#away.has(one)));
    if (id === undefined) return;
    this.#draining.add(id);
    this.counts.drains++;
    this.#options.say(`drain ${id}`);
    const drained = await this.#node('drain', id);
    if (drained) {
      await this.#node('remove', id);
      this.counts.removals++;
    }
    if (drained && !this.#servers.isMeta(id) && this.#random.below(3) > 0) {
      this.#options.say(`${id} goes for good`);
      // A server that is being killed comes back first.
      while (this.#away.has(id)) await sleep(100);
      await this.#servers.destroy(id);
    } else {
      this.#options.say(`take ${id} back`);
      await this.#node('add', id);
      this.counts.takenBack++;
    }
    this.#draining.delete(id);
  }

  /** Asks until it is carried out: the leader may change, and servers may be away that have to be asked. */
  async #node(command: 'drain' | 'remove' | 'add', id: string): Promise<boolean> {
    let finished: Finished;
    for (let attempt = 0; attempt < 30; attempt++) {
      finished = await this.#servers.ringfs('node', command, id, '--timeout', '30');
      if (finished.status === 0) return true;
      this.#options.say(
        `node ${command} ${id}: ${finished.stderr.trim().split('\n').join(' | ')}; asked again`,
      );
      await sleep(500);
    }
    throw new Error(`ringfs node ${command} ${id} is not carried out`);
  }
}
