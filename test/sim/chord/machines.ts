import { createHash } from 'node:crypto';
import type { Random } from '../../../src/base/random.ts';
import { ChordNode } from '../../../src/core/chord/chord-node.ts';
import { type Position, toPosition } from '../../../src/core/chord/identifiers.ts';
import type { ChordMessage, OwnersAnswer } from '../../../src/core/chord/types.ts';
import type { World } from '../harness/world.ts';
import type { RingCounts, RingOptions } from './options.ts';

const TICK_MS = 100;
const REFUSED_MS = 3;
const TIMEOUT_MS = 1_500;
const LEAVING_MS = 50;
const STRAGGLING_MS_MAX = 1_200;
const DUPLICATE_MS_MAX = 5_000;
const YOUNG_TICKS = 50;

export function positionOf(text: string): Position {
  return toPosition(createHash('sha256').update(text).digest('hex'));
}

/** One life of a machine. */
export interface Machine {
  readonly nodeId: string;
  readonly core: ChordNode;
  leaving: boolean;
  age: number;
  nextContact: number;
  version: number;
  slowMs: number;
  pausedUntilMs: number;
  resumedMs: number;
}

export interface MachinesComponents {
  readonly world: World;
  readonly counts: RingCounts;
  /** Planted mistakes. */
  readonly makeCore?: (config: ConstructorParameters<typeof ChordNode>[0]) => ChordNode;
}

/**
 * Machines with a Chord core each, over a network that loses, delays, doubles and reorders messages. It does as the
 * ring driver does: what is not answered in time makes its machine a dead one.
 */
export class Machines {
  readonly alive = new Map<string, Machine>();
  readonly addresses: string[] = [];
  /** Called when lists or predecessors of a machine have changed. */
  onChange: ((machine: Machine) => void) | undefined;
  /** A machine that lives, and can be reached by now, was taken for dead. */
  onFalseSuspicion: (() => void) | undefined;
  readonly #world: World;
  readonly #counts: RingCounts;
  readonly #options: RingOptions;
  readonly #makeCore: NonNullable<MachinesComponents['makeCore']>;
  readonly #random: Random;
  readonly #island = new Map<string, number>();
  #calm = false;

  constructor(components: MachinesComponents, options: RingOptions) {
    this.#world = components.world;
    this.#counts = components.counts;
    this.#makeCore = components.makeCore ?? ((config) => new ChordNode(config));
    this.#options = options;
    this.#random = this.#world.random('network');
  }

  get partitioned(): boolean {
    return this.#island.size > 0;
  }

  start(nodeId: string, virtualNodes: number): void {
    const { replicas, successorsMin } = this.#options;
    const positions = Array.from({ length: virtualNodes }, (_, k) => positionOf(`${nodeId}/${k}`));
    const core = this.#makeCore({ nodeId, address: nodeId, positions, replicas, limits: { successorsMin } });
    const machine: Machine = {
      nodeId,
      core,
      leaving: false,
      age: 0,
      nextContact: 0,
      version: -1,
      slowMs: 0,
      pausedUntilMs: 0,
      resumedMs: Number.NEGATIVE_INFINITY,
    };
    this.alive.set(nodeId, machine);
    if (!this.addresses.includes(nodeId)) this.addresses.push(nodeId);
    this.#world.trace(`start ${nodeId} with ${virtualNodes}`);
    this.#after(machine, this.#random.below(TICK_MS), () => this.#tick(machine));
  }

  crash(nodeId: string): void {
    this.#world.trace(`crash ${nodeId}`);
    this.alive.delete(nodeId);
  }

  leave(nodeId: string): void {
    const machine = this.alive.get(nodeId);
    if (machine === undefined || machine.leaving) return;
    this.#world.trace(`leave ${nodeId}`);
    machine.leaving = true;
    machine.core.leave();
    this.#flush(machine);
    this.#world.queue.after(LEAVING_MS, () => {
      if (this.alive.get(nodeId) === machine) this.alive.delete(nodeId);
    });
  }

  partition(islands: readonly (readonly string[])[]): void {
    islands.forEach((nodes, i) => {
      for (const nodeId of nodes) this.#island.set(nodeId, i);
    });
    this.#world.trace(`partition ${islands.map((i) => i.join(',')).join(' | ')}`);
  }

  heal(): void {
    this.#island.clear();
    this.#world.trace('heal');
  }

  pause(nodeId: string, ms: number): void {
    const machine = this.alive.get(nodeId);
    if (machine === undefined) return;
    machine.pausedUntilMs = Math.max(machine.pausedUntilMs, this.#world.nowMs + ms);
    machine.resumedMs = machine.pausedUntilMs;
    this.#world.trace(`pause ${nodeId} for ${ms}`);
  }

  /** Nothing is lost, late or doubled any more. */
  calm(): void {
    this.heal();
    this.#calm = true;
    for (const machine of this.alive.values()) machine.slowMs = 0;
  }

  /** Asks `asked` for the owners of a key, as one hop of a lookup. Undefined: no answer. */
  askOwners(
    from: Machine,
    asked: { readonly address: string; readonly nodeId: string },
    key: Position,
    then: (answer: OwnersAnswer | undefined) => void,
  ): void {
    this.#call(
      from,
      asked.address,
      (to) => (to.leaving ? undefined : to.core.owners(key, this.#options.replicas)),
      (outcome) => {
        if (outcome.kind === 'late' || outcome.kind === 'refused')
          this.#suspect(from, asked.nodeId, outcome.kind);
        this.#flush(from);
        then(outcome.kind === 'answer' ? outcome.value : undefined);
      },
      false,
    );
  }

  #tick(machine: Machine): void {
    if (machine.leaving) return;
    machine.core.tick();
    machine.age++;
    const young = machine.age < YOUNG_TICKS;
    if (machine.age % (young ? 3 : 100) === 1) this.#contact(machine, this.addresses);
    else if (machine.age % 20 === 1) this.#contact(machine, this.#away(machine));
    this.#flush(machine);
    this.#after(machine, TICK_MS, () => this.#tick(machine));
  }

  #away({ core }: Machine): readonly string[] {
    const known = new Set(core.knownMembers().map((m) => m.address));
    return this.addresses.filter((address) => !known.has(address));
  }

  #contact(machine: Machine, addresses: readonly string[]): void {
    const others = addresses.filter((address) => address !== machine.nodeId);
    if (others.length > 0) machine.core.contact(others[machine.nextContact++ % others.length]!);
  }

  /** After everything that a machine did. */
  #flush(machine: Machine): void {
    for (const message of machine.core.takeMessages()) this.#send(machine, message);
    if (machine.core.version === machine.version) return;
    machine.version = machine.core.version;
    this.onChange?.(machine);
  }

  #send(from: Machine, message: ChordMessage): void {
    const { id, address, request, nodeId } = message;
    this.#call(
      from,
      address,
      (to) => {
        if (to.leaving) return undefined;
        const reply = to.core.handle(request) ?? 'member-unknown';
        this.#flush(to);
        return reply;
      },
      (outcome) => {
        const { body, target, sender } = request;
        this.#world.trace(
          `${from.nodeId}:${sender.position.slice(0, 6)} ${body.kind} ${address}:${target?.slice(0, 6)} ${outcome.kind}`,
        );
        if (outcome.kind !== 'answer') {
          this.#suspect(from, nodeId ?? address, outcome.kind);
          from.core.failed(id, 'unreachable');
        } else if (outcome.value === 'member-unknown') {
          from.core.failed(id, 'member-unknown');
        } else {
          from.core.reply(id, outcome.value);
        }
        this.#flush(from);
      },
      true,
    );
  }

  #suspect(from: Machine, nodeId: string, why: 'late' | 'refused' | 'stopping'): void {
    // What a process did not hear while it stood still says nothing about others.
    if (why === 'late' && this.#world.nowMs - from.resumedMs < TIMEOUT_MS) return;
    const other = this.alive.get(nodeId);
    if (other !== undefined && !other.leaving) {
      this.#counts.falseSuspicions++;
      this.#world.trace(`${from.nodeId} takes ${nodeId} for dead`);
      this.onFalseSuspicion?.();
    }
    from.core.nodeDown(nodeId);
  }

  /** `answer` returns undefined when the machine is stopping. */
  #call<T>(
    from: Machine,
    address: string,
    answer: (to: Machine) => T | undefined,
    end: (outcome: { kind: 'answer'; value: T } | { kind: 'late' | 'refused' | 'stopping' }) => void,
    repeatable: boolean,
  ): void {
    this.#counts.messages++;
    let open = true;
    const finish = (outcome: Parameters<typeof end>[0]): void => {
      if (!open) return;
      open = false;
      end(outcome);
    };
    this.#after(from, TIMEOUT_MS, () => finish({ kind: 'late' }));
    if (this.#lost(from.nodeId, address)) return;
    const arrive = (): void => {
      const to = this.alive.get(address);
      if (this.#cut(from.nodeId, address)) return;
      if (to === undefined) {
        this.#after(from, REFUSED_MS, () => finish({ kind: 'refused' }));
        return;
      }
      this.#run(to, () => {
        const value = answer(to);
        if (this.#lost(address, from.nodeId)) return;
        this.#after(from, this.#latency(to), () => {
          if (this.#cut(address, from.nodeId)) return;
          finish(value === undefined ? { kind: 'stopping' } : { kind: 'answer', value });
        });
      });
    };
    this.#world.queue.after(this.#latency(from), arrive);
    if (!repeatable || this.#calm || this.#random.next() >= this.#options.duplication) return;
    this.#world.queue.after(this.#random.below(DUPLICATE_MS_MAX), () => {
      const to = this.alive.get(address);
      if (to !== undefined && !this.#cut(from.nodeId, address)) this.#run(to, () => answer(to));
    });
  }

  /** Runs `action` when the machine can do anything, if it still lives then. */
  #run(machine: Machine, action: () => void): void {
    if (this.alive.get(machine.nodeId) !== machine) return;
    const wait = machine.pausedUntilMs - this.#world.nowMs;
    if (wait > 0) this.#after(machine, wait, action);
    else action();
  }

  #after(machine: Machine, ms: number, action: () => void): void {
    this.#world.queue.after(ms, () => this.#run(machine, action));
  }

  #lost(from: string, to: string): boolean {
    return this.#cut(from, to) || (!this.#calm && this.#random.next() < this.#options.loss);
  }

  #cut(a: string, b: string): boolean {
    return this.partitioned && this.#island.get(a) !== this.#island.get(b);
  }

  #latency(machine: Machine): number {
    const { latencyMs, straggling } = this.#options;
    const straggler = !this.#calm && this.#random.next() < straggling;
    const late = straggler ? this.#random.below(STRAGGLING_MS_MAX) : 0;
    const slow = machine.slowMs > 0 ? this.#random.below(machine.slowMs) : 0;
    return 1 + this.#random.below(latencyMs) + late + slow;
  }
}
