import { createHash } from 'node:crypto';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { ChordNode } from '../../../src/core/chord/chord-node.ts';
import { isBetween, type Position, toPosition } from '../../../src/core/chord/identifiers.ts';
import type { ChordMessage, ChordReply, Member } from '../../../src/core/chord/types.ts';

export function positionOf(text: string): Position {
  return toPosition(createHash('sha256').update(text).digest('hex'));
}

interface Machine {
  readonly nodeId: string;
  readonly core: ChordNode;
  /** One per start: answers to what an earlier process of this name asked are dropped. */
  readonly incarnation: number;
  age: number;
  nextContact: number;
}

interface Event {
  readonly at: number;
  readonly order: number;
  readonly run: () => void;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly virtualNodes: number;
  readonly replicas?: number;
}

const TICK_MS = 100;
const REFUSED_MS = 3;
const TIMEOUT_MS = 1500;

/** Machines with a Chord core each, over a network with latency, crashes and partitions. Time is in milliseconds. */
export class RingSimulation {
  readonly random: Random;
  readonly trace: string[] = [];
  messages = 0;
  readonly #options: SimulationOptions;
  readonly #machines = new Map<string, Machine>();
  readonly #addresses: string[] = [];
  readonly #island = new Map<string, number>();
  #events: Event[] = [];
  #now = 0;
  #order = 0;
  #incarnations = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed);
  }

  get now(): number {
    return this.#now;
  }

  get alive(): string[] {
    return [...this.#machines.keys()];
  }

  core(nodeId: string): ChordNode {
    return this.#machines.get(nodeId)!.core;
  }

  start(nodeId: string): void {
    const positions = Array.from({ length: this.#options.virtualNodes }, (_, k) =>
      positionOf(`${nodeId}/${k}`),
    );
    const { replicas = 3 } = this.#options;
    const core = new ChordNode({ nodeId, address: nodeId, positions, replicas });
    const machine: Machine = { nodeId, core, incarnation: ++this.#incarnations, age: 0, nextContact: 0 };
    this.#machines.set(nodeId, machine);
    if (!this.#addresses.includes(nodeId)) this.#addresses.push(nodeId);
    this.#log(`start ${nodeId}`);
    this.#at(this.random.below(TICK_MS), () => this.#tick(machine));
  }

  crash(nodeId: string): void {
    this.#machines.delete(nodeId);
    this.#log(`crash ${nodeId}`);
  }

  leave(nodeId: string): void {
    const machine = this.#machines.get(nodeId)!;
    machine.core.leave();
    this.#log(`leave ${nodeId}`);
    this.#flush(machine);
    this.#at(50, () => {
      if (this.#machines.get(nodeId) === machine) this.#machines.delete(nodeId);
    });
  }

  partition(islands: readonly (readonly string[])[]): void {
    islands.forEach((nodes, i) => {
      for (const nodeId of nodes) this.#island.set(nodeId, i);
    });
    this.#log(`partition ${islands.map((i) => i.join(',')).join(' | ')}`);
  }

  heal(): void {
    this.#island.clear();
    this.#log('heal');
  }

  /** Let time pass; `onEvent` sees the state after every event. */
  run(ms: number, onEvent?: () => void): void {
    const end = this.#now + ms;
    for (;;) {
      let next: Event | undefined;
      for (const e of this.#events) {
        if (next === undefined || e.at < next.at || (e.at === next.at && e.order < next.order)) next = e;
      }
      if (next === undefined || next.at > end) break;
      this.#events = this.#events.filter((e) => e !== next);
      this.#now = next.at;
      next.run();
      onEvent?.();
    }
    this.#now = end;
  }

  /** Milliseconds until the ring of these machines is ideal; throws with the first defect when it is not in time. */
  runUntilIdeal(limitMs: number, nodes: readonly string[] = this.alive): number {
    const start = this.#now;
    let defect = this.defect(nodes);
    while (defect !== undefined) {
      if (this.#now - start >= limitMs) throw new Error(`seed ${this.#options.seed}: ${defect}`);
      this.run(TICK_MS);
      defect = this.defect(nodes);
    }
    this.#log('ideal');
    return this.#now - start;
  }

  /** What keeps the ring of these machines from being ideal: one ring of all their virtual nodes, nobody else in it. */
  defect(nodes: readonly string[]): string | undefined {
    const members = nodes
      .flatMap((nodeId) => [...this.core(nodeId).ownMembers])
      .sort((a, b) => (a.position < b.position ? -1 : 1));
    const alive = new Set(members.map((m) => m.position));
    for (const nodeId of nodes) {
      for (const node of this.core(nodeId).virtualNodes) {
        const at = members.findIndex((m) => m.position === node.self.position);
        const name = `${nodeId}:${node.self.position.slice(0, 6)}`;
        const next = members[(at + 1) % members.length]!;
        const previous = members[(at + members.length - 1) % members.length]!;
        if (members.length > 1 && node.successors.members[0]?.position !== next.position)
          return `${name} successor`;
        if (members.length > 1 && node.predecessor?.position !== previous.position)
          return `${name} predecessor`;
        const { length } = node.successors.members;
        for (let i = 0; i < length; i++) {
          const expected = members[(at + 1 + i) % members.length]!;
          if (node.successors.members[i]!.position !== expected.position) return `${name} list entry ${i}`;
        }
        if (node.successors.whole !== (length === members.length - 1)) return `${name} whole`;
        for (const finger of node.fingers.values()) if (!alive.has(finger.position)) return `${name} finger`;
      }
    }
    return undefined;
  }

  /** Of Zave's invariant, what holds in every state: ordered lists, never without a way on, never through oneself. */
  invariantViolation(): string | undefined {
    for (const { nodeId, core } of this.#machines.values()) {
      for (const { self, predecessor, successors } of core.virtualNodes) {
        const name = `${nodeId}:${self.position.slice(0, 6)}`;
        const { members } = successors;
        if (predecessor?.position === self.position) return `${name} is its own predecessor`;
        if (members.length === 0 && core.virtualNodes.length > 1) return `${name} has no successor`;
        let before: Member = self;
        for (const member of members) {
          if (member.position === self.position) return `${name} is in its own list`;
          if (before !== self && !isBetween(before.position, member.position, self.position)) {
            return `${name} has an unordered list`;
          }
          before = member;
        }
      }
    }
    return undefined;
  }

  digest(): string {
    return createHash('sha256').update(this.trace.join('\n')).digest('hex');
  }

  #tick(machine: Machine): void {
    if (this.#machines.get(machine.nodeId) !== machine) return;
    machine.core.tick();
    machine.age++;
    // As the driver does: often while young, then now and then.
    if (machine.age % (machine.age < 50 ? 3 : 100) === 0 && this.#addresses.length > 1) {
      const address = this.#addresses[machine.nextContact++ % this.#addresses.length]!;
      machine.core.contact(address);
    }
    this.#flush(machine);
    this.#at(TICK_MS, () => this.#tick(machine));
  }

  #flush(machine: Machine): void {
    for (const message of machine.core.takeMessages()) this.#send(machine, message);
  }

  #send(from: Machine, message: ChordMessage): void {
    this.messages++;
    const { id, address, request } = message;
    this.#log(`${from.nodeId} > ${address} ${request.body.kind} ${request.target?.slice(0, 6)}`);
    const fail = (reason: 'unreachable' | 'member-unknown'): void => {
      from.core.failed(id, reason);
      if (reason === 'unreachable') from.core.nodeDown(message.nodeId ?? address);
      this.#flush(from);
    };
    this.#at(this.#latency(), () => {
      const to = this.#machines.get(address);
      if (this.#cut(from.nodeId, address)) {
        this.#back(from, TIMEOUT_MS, () => fail('unreachable'));
      } else if (to === undefined) {
        this.#back(from, REFUSED_MS, () => fail('unreachable'));
      } else {
        const reply = to.core.handle(request);
        this.#flush(to);
        this.#back(from, this.#latency(), () => this.#answer(from, address, id, reply, fail));
      }
    });
  }

  #answer(
    from: Machine,
    address: string,
    id: number,
    reply: ChordReply | undefined,
    fail: (reason: 'unreachable' | 'member-unknown') => void,
  ): void {
    if (this.#cut(from.nodeId, address)) fail('unreachable');
    else if (reply === undefined) fail('member-unknown');
    else {
      from.core.reply(id, reply);
      this.#flush(from);
    }
  }

  #back(from: Machine, ms: number, run: () => void): void {
    this.#at(ms, () => {
      if (this.#machines.get(from.nodeId) === from) run();
    });
  }

  #cut(a: string, b: string): boolean {
    return this.#island.get(a) !== this.#island.get(b);
  }

  #latency(): number {
    return 1 + this.random.below(20);
  }

  #at(ms: number, run: () => void): void {
    this.#events.push({ at: this.#now + ms, order: this.#order++, run });
  }

  #log(line: string): void {
    this.trace.push(`${this.#now} ${line}`);
  }
}
