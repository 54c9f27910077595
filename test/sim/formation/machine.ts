import type { Founders } from '../../../src/core/formation/decide.ts';
import type { FormationReply, FormationRequest } from '../../../src/gen/ringfs/v1/admin.ts';
import {
  type AskPeer,
  Formation,
  FormationRefusedError,
  formationReply,
} from '../../../src/meta/formation.ts';
import { SimLogger, SimProcess, Violation, type World } from '../harness/world.ts';
import type { FormationOptions, noCounts } from './options.ts';

/** What survives a crash, and what of it a wipe takes away. */
interface Disk {
  readonly instanceId: string;
  founders: Founders | undefined;
  /** When it took part in Raft for the first time, as a moment of the world. */
  tookPart: number | undefined;
}

export interface Cluster {
  readonly world: World;
  readonly options: FormationOptions;
  readonly counts: ReturnType<typeof noCounts>;
  readonly machines: ReadonlyMap<string, Machine>;
  readonly mistake: Mistake | undefined;
  /** Delivers, or loses. */
  send(from: string, to: string, action: () => void): void;
}

/** Planted, to show that the checks see it. */
export type Mistake =
  /** Who takes part goes on to say that it is blank. */
  | 'says-blank'
  /** An empty directory gets the instance that it had. */
  | 'same-instance'
  /** The second question is answered with the answer to the first. */
  | 'asks-once';

/** One of --peers: its disk, and the process on it, which is started again whatever it ends of. */
export class Machine {
  readonly id: string;
  readonly #cluster: Cluster;
  #disk: Disk;
  #lives = 0;
  #process: SimProcess | undefined;
  #formation: Formation | undefined;
  /** When votes of this server were lost with its disk: the last time. */
  #forgot: number | undefined;
  wiped = false;
  /** By a peer, in this life of its disk, since that was last asked. */
  refused = false;

  constructor(cluster: Cluster, id: string) {
    this.#cluster = cluster;
    this.id = id;
    this.#disk = this.#emptyDisk();
  }

  #emptyDisk(): Disk {
    const number = this.#cluster.mistake === 'same-instance' ? 1 : this.#cluster.world.moment();
    return { instanceId: `${this.id}-${number}`, founders: undefined, tookPart: undefined };
  }

  get member(): boolean {
    return this.#process !== undefined && this.#disk.tookPart !== undefined;
  }

  get waitsFor(): string {
    return this.#formation?.waiting.join(' ') ?? 'nobody';
  }

  start(): void {
    if (this.#process !== undefined) return;
    const { world } = this.#cluster;
    this.#lives += 1;
    const process = new SimProcess(world, `${this.id}.${this.#lives}`, { rate: 1, wallMs: 0 });
    this.#process = process;
    world.trace(`${this.id} starts as ${this.#disk.instanceId}${this.#disk.founders ? ', a member' : ''}`);
    if (this.#disk.founders !== undefined) {
      this.#takePart();
      return;
    }
    this.#form(process).catch((error: unknown) => {
      if (!process.alive) return;
      if (!(error instanceof FormationRefusedError)) throw error;
      this.#cluster.counts.refused += 1;
      this.refused = true;
      world.trace(`${this.id} is refused by ${error.peer}`);
      if (!this.wiped) world.fail(new Violation('refusal', `${this.id} is refused, and has all of its data`));
      this.#end();
    });
  }

  async #form(process: SimProcess): Promise<void> {
    const { world, machines, options, counts } = this.#cluster;
    const peers = [...machines.keys()].map((id) => ({ id, address: id }));
    const { instanceId } = this.#disk;
    const asks = this.#cluster.mistake === 'asks-once' ? this.#once(process) : this.#asks(process);
    const parts = { ask: asks, timers: process, logger: new SimLogger(process) };
    const formation = new Formation(parts, { id: this.id, instanceId, clusterId: 'c', peers });
    this.#formation = formation;
    const founders = await formation.decided(new AbortController().signal);
    const first = [...machines.values()].every((machine) => machine.#disk.tookPart === undefined);
    counts[first ? 'formed' : 'followed'] += 1;
    world.trace(`${this.id} goes on with ${Object.values(founders).join(' ')}`);
    await process.sleep(world.random(`open ${process.name}`).next() * options.openMs);
    this.#disk.founders = founders;
    this.#takePart();
  }

  #asks(process: SimProcess): AskPeer {
    const { counts } = this.#cluster;
    return (to, request, timeoutMs) =>
      new Promise((resolve, reject) => {
        counts.questions += 1;
        process.after(timeoutMs, () => reject(new Error('no answer in time')));
        this.#cluster.send(this.id, to, () => {
          const target = this.#cluster.machines.get(to);
          const answer = target?.answer(request);
          this.#cluster.send(to, this.id, () => {
            process.run(() => {
              if (answer === undefined) reject(new Error('connection refused'));
              else resolve(answer);
            });
          });
        });
      });
  }

  #once(process: SimProcess): AskPeer {
    const ask = this.#asks(process);
    const known = new Map<string, FormationReply>();
    return async (to, request, timeoutMs) => {
      const answer = known.get(to) ?? (await ask(to, request, timeoutMs));
      known.set(to, answer);
      return answer;
    };
  }

  /** Undefined: nobody listens. */
  answer(request: FormationRequest): FormationReply | undefined {
    if (this.#process === undefined) return undefined;
    this.#formation?.heard(request);
    const { instanceId } = this.#disk;
    const founders = this.#cluster.mistake === 'says-blank' ? undefined : this.#disk.founders;
    const peers = [...this.#cluster.machines.keys()].map((id) => ({ id }));
    return formationReply({ id: this.id, clusterId: 'c', instanceId }, { meta: true, peers, founders });
  }

  /** From here on it votes. */
  #takePart(): void {
    const { world, machines } = this.#cluster;
    this.#formation = undefined;
    this.#disk.tookPart ??= world.moment();
    world.trace(`${this.id} takes part`);
    const forgot = this.#forgot;
    if (forgot === undefined) return;
    for (const { id, tookPart } of [...machines.values()].map((m) => ({
      id: m.id,
      tookPart: m.#disk.tookPart,
    }))) {
      if (id === this.id || tookPart === undefined || tookPart > forgot) continue;
      const what = `${this.id} votes again, and has forgotten what ${id} may have counted on`;
      world.fail(new Violation('amnesia', what));
    }
  }

  crash(): void {
    if (this.#process === undefined) return;
    this.#cluster.counts.crashes += 1;
    this.#cluster.world.trace(`${this.id} dies`);
    this.#end();
  }

  wipe(): void {
    const { world, counts } = this.#cluster;
    counts.wipes += 1;
    world.trace(`${this.id} loses its disk`);
    if (this.#disk.tookPart !== undefined) this.#forgot = world.moment();
    this.wiped = true;
    this.refused = false;
    this.#disk = this.#emptyDisk();
    this.#end();
  }

  #end(): void {
    if (this.#process !== undefined) this.#process.alive = false;
    if (this.#formation !== undefined && this.#formation.waiting.length > 0) this.#cluster.counts.waited += 1;
    this.#process = undefined;
    this.#formation = undefined;
    const { world, options } = this.#cluster;
    const life = this.#lives;
    world.queue.after(world.random(`restart ${this.id} ${world.moment()}`).next() * options.restartMs, () => {
      if (this.#lives === life) this.start();
    });
  }
}
