import type { Random } from '../../../src/base/random.ts';
import type { World } from '../harness/world.ts';
import { Established } from './checks.ts';
import type { Machine, Machines } from './machines.ts';
import type { RingCounts, RingOptions } from './options.ts';

const STEP_MS = 100;
const RESTART_MS_MAX = 1_000;
/** Machines that there ever are: a few times those of one moment. */
const NAMES_FACTOR = 3;

export interface RingFaultsComponents {
  readonly world: World;
  readonly counts: RingCounts;
  readonly machines: Machines;
}

/** Joins, leaves, crashes, partitions and slowness at the rates of the options, each kind by luck of its own. */
export class RingFaults {
  /** A machine came or went. */
  onMembership: (() => void) | undefined;
  /** Something happened that no failure detector tells from a death. */
  onDoubt: (() => void) | undefined;
  readonly #c: RingFaultsComponents;
  readonly #options: RingOptions;
  readonly #names: readonly string[];
  /** Machines that are about to come back. */
  readonly #restarting = new Set<string>();
  readonly #sizes = new Map<string, number>();
  readonly #kinds: readonly {
    readonly name: keyof RingOptions;
    readonly random: Random;
    readonly strike: (random: Random) => void;
  }[];

  constructor(components: RingFaultsComponents, options: RingOptions) {
    this.#c = components;
    this.#options = options;
    const count = Math.max(options.founders, options.machines * NAMES_FACTOR);
    this.#names = Array.from({ length: count }, (_, i) => `n${i + 1}`);
    const kinds: Partial<Record<keyof RingOptions, (random: Random) => void>> = {
      joins: (random) => this.#join(random),
      leaves: (random) => this.#leave(random),
      crashes: (random) => this.#crash(random),
      restarts: (random) => this.#restart(random),
      partitions: (random) => this.#partition(random),
      slowNodes: (random) => this.#slow(random),
      pauses: (random) => this.#pause(random),
    };
    this.#kinds = Object.entries(kinds).map(([name, strike]) => ({
      name: name as keyof RingOptions,
      random: components.world.random(`fault ${name}`),
      strike,
    }));
  }

  /** Starts the founders, and then trouble. */
  begin(): void {
    const random = this.#c.world.random('founders');
    for (const name of this.#names.slice(0, this.#options.founders)) this.#start(name, random);
    this.#c.world.queue.after(STEP_MS, () => this.#step());
  }

  #step(): void {
    const { world } = this.#c;
    if (world.healing) return;
    for (const { name, random, strike } of this.#kinds) {
      const chance = (this.#options[name] * STEP_MS) / 1_000;
      if (chance > 0 && random.next() < chance) strike(random);
    }
    world.queue.after(STEP_MS, () => this.#step());
  }

  #start(name: string, random: Random): void {
    let size = this.#sizes.get(name);
    if (size === undefined || random.next() < this.#options.resizes) {
      size = 1 + random.below(Math.max(1, 2 * this.#options.virtualNodes));
      this.#sizes.set(name, size);
    }
    this.#c.machines.start(name, size);
    this.onMembership?.();
  }

  #living(): Machine[] {
    return [...this.#c.machines.alive.values()].filter(({ leaving }) => !leaving);
  }

  #pick(random: Random): Machine | undefined {
    const living = this.#living();
    return living[random.below(living.length)];
  }

  /** Without `victims`, every list still names somebody else who lives. */
  #affordable(victims: ReadonlySet<string>): boolean {
    const living = this.#living();
    const rest = living.length - victims.size;
    return rest >= 2 && new Established(living).survives(victims, this.#c.machines.alive);
  }

  #join(random: Random): void {
    const { machines, counts } = this.#c;
    const free = this.#names.filter((name) => !machines.alive.has(name) && !this.#restarting.has(name));
    const name = free[random.below(free.length)];
    if (name === undefined || machines.alive.size >= this.#options.machines) return;
    counts.joins++;
    // Somebody may still have it in a list, from a life before.
    if (machines.addresses.includes(name)) this.onDoubt?.();
    this.#start(name, random);
  }

  #leave(random: Random): void {
    const victim = this.#pick(random);
    if (victim === undefined || !this.#affordable(new Set([victim.nodeId]))) return;
    this.#c.counts.leaves++;
    this.#c.machines.leave(victim.nodeId);
    this.onMembership?.();
  }

  #crash(random: Random): void {
    const victims = new Set<string>();
    const wanted = 1 + random.below(Math.max(1, this.#options.crashesMax));
    for (let i = 0; i < wanted; i++) {
      const victim = this.#pick(random);
      if (victim === undefined || !this.#affordable(new Set([...victims, victim.nodeId]))) continue;
      victims.add(victim.nodeId);
    }
    for (const name of victims) {
      this.#c.counts.crashes++;
      this.#c.machines.crash(name);
    }
    if (victims.size > 0) this.onMembership?.();
  }

  #restart(random: Random): void {
    const victim = this.#pick(random);
    if (victim === undefined || !this.#affordable(new Set([victim.nodeId]))) return;
    const { nodeId } = victim;
    const { machines, counts, world } = this.#c;
    counts.restarts++;
    machines.crash(nodeId);
    this.onMembership?.();
    this.onDoubt?.();
    this.#restarting.add(nodeId);
    world.queue.after(random.below(RESTART_MS_MAX), () => {
      this.#restarting.delete(nodeId);
      this.onDoubt?.();
      this.#start(nodeId, random);
    });
  }

  #partition(random: Random): void {
    const { machines, counts, world } = this.#c;
    if (machines.partitioned) return;
    const sides: [string[], string[]] = [[], []];
    for (const name of this.#names) sides[random.below(2)]!.push(name);
    counts.partitions++;
    machines.partition(sides);
    this.onDoubt?.();
    world.queue.after(random.below(this.#options.partitionMs), () => {
      machines.heal();
      this.onDoubt?.();
    });
  }

  #slow(random: Random): void {
    const victim = this.#pick(random);
    if (victim === undefined) return;
    const { world } = this.#c;
    world.trace(`slow ${victim.nodeId}`);
    victim.slowMs = random.below(this.#options.slowMs);
    world.queue.after(1_000 + random.below(5_000), () => {
      victim.slowMs = 0;
    });
  }

  #pause(random: Random): void {
    const victim = this.#pick(random);
    if (victim === undefined) return;
    this.#c.counts.pauses++;
    this.#c.machines.pause(victim.nodeId, random.below(this.#options.pauseMs));
  }
}
