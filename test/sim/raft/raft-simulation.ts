import type { ServerId } from '../../../src/base/ids.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import {
  type ConfChange,
  type ConfChangeKind,
  type ConfChangeStep,
  encodeConfChange,
  NO_MEMBERS,
} from '../../../src/core/raft/conf-change.ts';
import type { RaftConfState, RaftMessage } from '../../../src/gen/ringfs/v1/raft.ts';
import { EventQueue } from './event-queue.ts';
import { type NetworkWeather, SimNetwork } from './network.ts';
import { Oracle } from './oracle.ts';
import { SimNode } from './sim-node.ts';
import {
  noCounts,
  type PlantedBug,
  type RaftSimulationOptions,
  type SimSnapshot,
  type SimulationCounts,
  TICK_UNITS,
  type World,
} from './world.ts';

export interface RaftSimulationResult {
  readonly seed: number;
  /** Of everything that happened: the same seed and options give the same hash. */
  readonly traceHash: string;
  readonly counts: SimulationCounts;
  /** The error that broke a promise of Raft's; undefined: none. */
  readonly violation: Error | undefined;
}

const NODES_MAX = 5;
const CHAOS_TICKS_DEFAULT = 300;
/** After the healing everything has to be in order within this time. */
const HEAL_TICKS_MAX = 600;
const STRIKE_ONE_IN_DEFAULT = 1000;
const CALM: NetworkWeather = { loss: 0, duplication: 0, delayMax: 20, straggling: 0 };

/** Runs one cluster of up to five nodes through faults drawn from `seed`, then heals it and checks that it works. */
export function runRaftSimulation(seed: number, options: RaftSimulationOptions = {}): RaftSimulationResult {
  const simulation = new Simulation(seed, options);
  const violation = simulation.run();
  return { seed, traceHash: simulation.traceHash(), counts: simulation.counts, violation };
}

class Simulation implements World {
  readonly random: Random;
  readonly oracle = new Oracle();
  readonly counts = noCounts();
  readonly bug: PlantedBug | undefined;
  readonly earlySend: boolean;
  stepUnitsMax: number;
  readonly #queue = new EventQueue();
  readonly #network: SimNetwork;
  readonly #nodes: SimNode[] = [];
  readonly #chaosTicks: number;
  readonly #strikeOneIn: number;
  readonly #onTrace: ((line: string) => void) | undefined;
  readonly #faultEvery: number;
  readonly #membership: boolean;
  readonly #membershipEvery: number;
  #hash = 0x811c9dc5;
  #proposal = 0;
  #chaos = true;

  constructor(seed: number, options: RaftSimulationOptions) {
    this.random = seededRandom(seed);
    this.bug = options.bug;
    this.#onTrace = options.onTrace;
    this.#strikeOneIn = options.strikeOneIn ?? STRIKE_ONE_IN_DEFAULT;
    this.#chaosTicks = options.chaosTicks ?? CHAOS_TICKS_DEFAULT;
    this.earlySend = this.random.below(2) === 0;
    this.#membership = this.random.below(2) === 0;
    this.#faultEvery = 3 + this.random.below([20, 60][this.random.below(2)]!);
    this.#membershipEvery = 3 + this.random.below([8, 60][this.random.below(2)]!);
    this.stepUnitsMax = [5, 40, 200][this.random.below(3)]!;
    const environment = {
      random: this.random,
      counts: this.counts,
      encode: this.random.below(8) === 0,
      after: (delay: number, action: () => void): void => this.after(delay, action),
      deliver: (message: RaftMessage): void => this.#node(message.to)?.receive(message),
    };
    this.#network = new SimNetwork(environment, this.#drawWeather());
    this.#createNodes();
  }

  // World ---------------------------------------------------------------------------------------------------

  after(delay: number, action: () => void): void {
    this.#queue.after(delay, action);
  }

  send(message: RaftMessage): void {
    this.trace('send', message.from, message.to, message.type, message.term, message.index, message.commit);
    this.#network.send(message);
  }

  sendSnapshot(snapshot: SimSnapshot, message: RaftMessage, done: (ok: boolean) => void): void {
    this.trace('snapshot', message.from, message.to, snapshot.index, snapshot.term);
    const { from, to } = message;
    const fate = this.random.next();
    const answer = (ok: boolean): void => {
      this.after(this.#network.delay(), () => done(ok && !this.#network.isCut(to, from)));
    };
    this.after(5 * this.#network.delay(), () => {
      const node = this.#node(to);
      const lost = this.#chaos && fate < 0.2;
      if (lost || node === undefined || !node.alive || this.#network.isCut(from, to)) answer(false);
      else node.receiveSnapshot(snapshot, message, answer);
    });
    // The stream's time limit, for when the receiver dies: an outcome is always reported.
    this.after(60 * TICK_UNITS, () => done(false));
  }

  strikes(id: string): boolean {
    const node = this.#node(id);
    if (node === undefined || !this.#chaos || this.random.below(this.#strikeOneIn) > 0) return false;
    this.#crash(node);
    return true;
  }

  trace(kind: string, ...values: (number | string)[]): void {
    const line = `${this.#queue.now} ${kind} ${values.join(' ')}`;
    for (let i = 0; i < line.length; i++) {
      this.#hash = Math.imul(this.#hash ^ line.charCodeAt(i), 0x01000193);
    }
    this.#onTrace?.(line);
  }

  traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0');
  }

  // The run -------------------------------------------------------------------------------------------------

  run(): Error | undefined {
    try {
      for (const node of this.#nodes) node.start();
      this.#scheduleFault();
      this.#scheduleMembership();
      this.#scheduleClient();
      this.#runUntil(this.#chaosTicks * TICK_UNITS, () => false);
      this.#heal();
      const settled = this.#runUntil(HEAL_TICKS_MAX * TICK_UNITS, () => this.#isSettled());
      if (!settled) throw new Error('the healed cluster does not come to work');
      this.oracle.checkAcknowledged(Math.min(...this.#members().map((node) => node.applied)));
      return undefined;
    } catch (thrown) {
      return thrown instanceof Error ? thrown : new Error(String(thrown));
    }
  }

  /** True as soon as `done`, which is asked once a tick; false when the time is over. */
  #runUntil(units: number, done: () => boolean): boolean {
    const end = this.#queue.now + units;
    for (let next = this.#queue.now + TICK_UNITS; next <= end; next += TICK_UNITS) {
      while (this.#queue.runNext(next));
      if (done()) return true;
    }
    return false;
  }

  #heal(): void {
    this.trace('heal');
    this.#chaos = false;
    this.#network.heal();
    this.#network.weather = CALM;
    // Slow disks would leave a backlog that says nothing about Raft.
    this.stepUnitsMax = 5;
    for (const node of this.#nodes) node.start();
    this.#settledFrom = undefined;
  }

  #settledFrom: number | undefined;

  /** A leader of a plain configuration exists, and something that was committed after the healing is applied by all. */
  #isSettled(): boolean {
    const leader = this.#leader();
    if (leader === undefined || leader.confState.votersOutgoing.length > 0) return false;
    this.#settledFrom ??= this.oracle.committedIndex;
    const target = this.#settledFrom + 1;
    if (this.oracle.visible < target) return false;
    return this.#members().every((node) => node.applied >= target);
  }

  #members(): SimNode[] {
    const conf = this.#leader()?.confState;
    const ids = [...(conf?.voters ?? []), ...(conf?.learners ?? [])];
    return this.#nodes.filter((node) => ids.includes(node.id));
  }

  // Clients -------------------------------------------------------------------------------------------------

  #scheduleClient(): void {
    this.after(1 + this.random.below(2 * TICK_UNITS), () => {
      this.#scheduleClient();
      const node = this.#pick(this.#nodes);
      if (this.random.below(3) === 0) node.read();
      const burst = 1 + (this.random.below(10) === 0 ? this.random.below(40) : this.random.below(3));
      const target = this.#leaders().at(-1) ?? node;
      for (let i = 0; i < burst; i++) target.propose(this.#proposalData());
      // Old leaders that do not know it yet are the interesting ones to read from.
      if (this.random.below(2) === 0) for (const leader of this.#leaders()) leader.read();
    });
  }

  #proposalData(): Uint8Array {
    this.#proposal += 1;
    const data = new Uint8Array(4 + this.random.below(60));
    new DataView(data.buffer).setUint32(0, this.#proposal);
    return data;
  }

  // Faults --------------------------------------------------------------------------------------------------

  #scheduleFault(): void {
    this.after(1 + this.random.below(this.#faultEvery * TICK_UNITS), () => {
      if (!this.#chaos) return;
      this.#scheduleFault();
      this.#fault();
    });
  }

  #fault(): void {
    const { random } = this;
    const node = this.#pick(this.#nodes);
    const kind = random.below(74);
    if (kind < 16) this.#crash(this.#victim());
    else if (kind < 20) for (const each of this.#nodes) this.#crash(each);
    else if (kind < 34) this.#partition();
    else if (kind < 42) this.#network.heal();
    else if (kind < 48) this.#pause(this.#victim());
    else if (kind < 60) node.compact(random.below(20));
    else if (kind < 68) this.#transfer();
    else if (kind < 70) this.#leader()?.reportUnreachable(node.id);
    else this.#network.weather = this.#drawWeather();
  }

  #crash(node: SimNode): void {
    if (node.alive) this.counts.crashes += 1;
    node.crash();
    // Sometimes at once: within the leader's lease, or before its messages have arrived.
    const downtime = this.random.below(3) === 0 ? 1 : this.random.below(30 * TICK_UNITS);
    this.after(downtime, () => node.start());
  }

  #pause(node: SimNode): void {
    this.counts.pauses += 1;
    const units = this.random.below(30 * TICK_UNITS);
    this.trace('pause', node.id, units);
    node.pause(units);
  }

  #partition(): void {
    this.counts.partitions += 1;
    const style = this.random.below(3);
    this.#network.heal();
    const side = new Map(this.#nodes.map((node) => [node.id, this.random.below(2)]));
    const victim = this.#victim();
    for (const a of this.#nodes) {
      for (const b of this.#nodes) {
        const split = side.get(a.id) !== side.get(b.id);
        const isolated = a === victim || b === victim;
        // One direction only: requests arrive and answers do not, or the other way round.
        const oneWay = this.random.below(4) === 0;
        if (style === 0 ? split : style === 1 ? isolated : oneWay) this.#network.cut(a.id, b.id);
      }
    }
    this.trace('partition', style, victim.id);
    if (this.random.below(2) === 0)
      this.after(this.random.below(60 * TICK_UNITS), () => this.#network.heal());
  }

  #transfer(): void {
    this.counts.transfers += 1;
    const target = this.#pick(this.#nodes);
    this.trace('transfer', target.id);
    this.#leader()?.transferTo(target.id);
  }

  #scheduleMembership(): void {
    if (!this.#membership) return;
    this.after(1 + this.random.below(this.#membershipEvery * TICK_UNITS), () => {
      if (!this.#chaos) return;
      this.#scheduleMembership();
      this.#changeMembership();
    });
  }

  #changeMembership(): void {
    const leader = this.#leader();
    if (leader === undefined) return;
    const { random } = this;
    const count = random.below(3) === 0 ? 1 + random.below(3) : 1;
    const steps: ConfChangeStep[] = [];
    for (let i = 0; i < count; i++) {
      const { id } = this.#pick(this.#nodes);
      if (steps.some((step) => step.id === id)) continue;
      const kinds: readonly ConfChangeKind[] = leader.confState.voters.includes(id)
        ? ['remove', 'add-learner']
        : leader.confState.learners.includes(id)
          ? ['promote', 'promote', 'remove']
          : ['add-voter', 'add-learner'];
      steps.push({ kind: this.#pick(kinds), id, address: '' });
    }
    const transition = random.below(4) === 0 ? 'joint-auto-leave' : 'auto';
    const change: ConfChange = { transition, steps };
    leader.proposeConfChange(encodeConfChange(change));
  }

  /** Mostly the leader, where it hurts most. */
  #victim(): SimNode {
    const leader = this.#leader();
    return leader === undefined || this.random.below(4) === 0 ? this.#pick(this.#nodes) : leader;
  }

  // Helpers -------------------------------------------------------------------------------------------------

  #createNodes(): void {
    const voters = 1 + this.random.below(NODES_MAX);
    const total = this.#membership ? NODES_MAX : voters;
    const ids = Array.from({ length: total }, (_, i) => `n${i + 1}` as ServerId);
    const empty = NO_MEMBERS;
    const initial: RaftConfState = { ...empty, voters: ids.slice(0, voters) };
    for (const [i, id] of ids.entries())
      this.#nodes.push(new SimNode(this, id, i < voters ? initial : empty));
  }

  #drawWeather(): NetworkWeather {
    const { random } = this;
    return {
      loss: [0, 0.02, 0.1, 0.3][random.below(4)]!,
      duplication: [0, 0.05, 0.2][random.below(3)]!,
      delayMax: [5, 30, 120, 300][random.below(4)]!,
      straggling: [0, 0.01, 0.05][random.below(3)]!,
    };
  }

  #node(id: string): SimNode | undefined {
    return this.#nodes.find((node) => node.id === id);
  }

  /** Every node that takes itself for the leader, in the order of terms. */
  #leaders(): SimNode[] {
    return this.#nodes.filter((node) => node.role === 'leader').sort((a, b) => a.term - b.term);
  }

  #leader(): SimNode | undefined {
    return this.#leaders().at(-1);
  }

  #pick<T>(from: readonly T[]): T {
    return from[this.random.below(from.length)]!;
  }
}
