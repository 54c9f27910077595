import type { BlockId } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import type { World } from '../harness/world.ts';
import type { SimMetadata } from './metadata.ts';
import type { BlockNetwork, SimNode } from './node.ts';
import type { SimOperator } from './operator.ts';
import type { BlocksCounts, BlocksOptions } from './options.ts';

const STEP_MS = 100;
const RESTART_MS_MAX = 800;

export interface BlockFaultsComponents {
  readonly world: World;
  readonly counts: BlocksCounts;
  readonly network: BlockNetwork;
  readonly metadata: SimMetadata;
  readonly operator: SimOperator;
  readonly nodes: () => readonly SimNode[];
  /** A new node, running. */
  readonly addNode: () => void;
  readonly userNames: readonly string[];
  /** Blocks that a file refers to or will, of which no other node has a good copy. */
  readonly lastCopies: (node: SimNode) => readonly BlockId[];
  readonly flipBit: (node: SimNode, id: BlockId) => void;
  readonly onPartition: (sides: ReadonlyMap<string, number>) => void;
}

/** Breaks nodes, disks and links at the rates of the options, each kind by luck of its own, and mends them after a while. */
export class BlockFaults {
  readonly #c: BlockFaultsComponents;
  readonly #options: BlocksOptions;
  readonly #kinds: readonly {
    readonly name: keyof BlocksOptions;
    readonly random: Random;
    readonly strike: (random: Random) => void;
  }[];
  #partitioned = false;

  constructor(components: BlockFaultsComponents, options: BlocksOptions) {
    this.#c = components;
    this.#options = options;
    const kinds: Partial<Record<keyof BlocksOptions, (random: Random) => void>> = {
      streamBreaks: (random) => this.#breakStreams(random),
      partitions: (random) => this.#partition(random),
      crashes: (random) => this.#crash(random),
      restarts: (random) => this.#restart(random),
      joins: () => this.#join(),
      leaves: (random) => this.#leave(random),
      drains: (random) => this.#drain(random),
      pauses: (random) => this.#pause(random),
      elections: () => this.#c.metadata.elect(),
      diskStalls: (random) => this.#stall(random),
      diskFull: (random) => this.#fill(random),
      diskLosses: (random) => this.#loseDisk(random),
      rot: (random) => this.#rot(random),
    };
    this.#kinds = Object.entries(kinds).map(([name, strike]) => ({
      name: name as keyof BlocksOptions,
      random: components.world.random(`fault ${name}`),
      strike,
    }));
  }

  start(): void {
    this.#later(STEP_MS, () => this.#step());
  }

  #step(): void {
    if (this.#c.world.healing) return;
    for (const { name, random, strike } of this.#kinds) {
      const chance = (this.#options[name] * STEP_MS) / 1_000;
      if (chance > 0 && random.next() < chance) strike(random);
    }
    this.#later(STEP_MS, () => this.#step());
  }

  /** What is mended at the end anyway is not mended again. */
  #later(ms: number, action: () => void): void {
    this.#c.world.queue.after(ms, () => {
      if (!this.#c.world.healing) action();
    });
  }

  #members(): SimNode[] {
    return this.#c.nodes().filter(({ isMember }) => isMember);
  }

  #pick(random: Random): SimNode | undefined {
    const up = this.#members().filter((node) => node.up);
    return up[random.below(up.length)];
  }

  /** One that may be away: no more than replicas - 1 are at one time. */
  #victim(random: Random): SimNode | undefined {
    const away = this.#members().filter((node) => !node.up).length;
    return away >= this.#options.replicas - 1 ? undefined : this.#pick(random);
  }

  #crash(random: Random): void {
    const node = this.#victim(random);
    if (node === undefined) return;
    this.#c.counts.crashes++;
    node.kill();
    this.#later(random.below(this.#options.downMs), () => node.start());
  }

  #restart(random: Random): void {
    const node = this.#victim(random);
    if (node === undefined) return;
    this.#c.counts.restarts++;
    node.kill();
    this.#later(random.below(RESTART_MS_MAX), () => node.start());
  }

  #join(): void {
    if (this.#members().length >= this.#options.nodes) return;
    this.#c.counts.joins++;
    this.#c.addNode();
  }

  #leave(random: Random): void {
    const node = this.#victim(random);
    if (node === undefined) return;
    const { counts, lastCopies } = this.#c;
    counts.leaves++;
    const forGood = random.below(2) === 0;
    const backMs = random.below(this.#options.downMs);
    void node.stop().then(
      () => {
        const few = this.#members().length <= this.#options.replicas;
        if (forGood && !few && lastCopies(node).length === 0) {
          this.#c.world.trace(`${node.name} is gone for good`);
          node.retired = true;
        } else {
          this.#later(backMs, () => node.start());
        }
      },
      () => undefined,
    );
  }

  /** The product says whether that is possible. */
  #drain(random: Random): void {
    const node = this.#pick(random);
    const { operator } = this.#c;
    if (node !== undefined && operator.running === 0) operator.drain(node, random);
  }

  #loseDisk(random: Random): void {
    const node = this.#victim(random);
    if (node === undefined || this.#c.lastCopies(node).length > 0) return;
    this.#c.counts.diskLosses++;
    node.kill();
    this.#c.world.trace(`${node.name} loses its disk`);
    node.disk.lose(this.#c.world.nowMs);
    this.#later(random.below(this.#options.downMs), () => node.start());
  }

  #rot(random: Random): void {
    const node = this.#pick(random);
    if (node === undefined) return;
    const last = new Set(this.#c.lastCopies(node));
    const ids = [...node.disk.content.blocks.keys()].filter((id) => !last.has(id));
    const id = ids[random.below(ids.length)];
    if (id === undefined) return;
    this.#c.counts.rotten++;
    this.#c.world.trace(`${node.name} has a bit flipped in ${id.slice(0, 6)}`);
    this.#c.flipBit(node, id);
  }

  #pause(random: Random): void {
    const node = this.#pick(random);
    if (node?.process === undefined) return;
    this.#c.counts.pauses++;
    const ms = random.below(this.#options.pauseMs);
    this.#c.world.trace(`${node.name} stands still for ${ms} ms`);
    node.process.pause(ms);
  }

  #stall(random: Random): void {
    const node = this.#pick(random);
    if (node !== undefined) node.disk.stalledUntilMs = this.#c.world.nowMs + random.below(1_000);
  }

  #fill(random: Random): void {
    const node = this.#pick(random);
    if (node === undefined) return;
    this.#c.counts.fullDisks++;
    this.#c.world.trace(`the disk of ${node.name} is full`);
    node.disk.full = true;
    this.#later(random.below(8_000), () => {
      node.disk.full = false;
    });
  }

  #breakStreams(random: Random): void {
    const node = this.#pick(random);
    if (node !== undefined) this.#c.network.breakStreams(node.address);
  }

  #partition(random: Random): void {
    if (this.#partitioned) return;
    const { world, counts, network, onPartition } = this.#c;
    const sides = new Map<string, number>();
    for (const { address } of this.#c.nodes()) sides.set(address, random.below(2));
    for (const name of this.#c.userNames) sides.set(name, random.below(2));
    sides.set('meta', random.below(2));
    const names = [...sides.keys()];
    const side = (i: number): string[] => names.filter((name) => sides.get(name) === i);
    this.#partitioned = true;
    counts.partitions++;
    world.trace(`partition ${side(0).join()} | ${side(1).join()}`);
    network.partition(side(0), side(1));
    onPartition(sides);
    this.#later(random.below(this.#options.partitionMs), () => {
      world.trace('heal');
      network.heal();
      onPartition(new Map());
      this.#partitioned = false;
    });
  }
}
