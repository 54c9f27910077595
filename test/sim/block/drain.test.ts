import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { BlockCluster } from '../../support/block-cluster.ts';
import { blockIdOf, type TestBlock, testBlock } from '../../support/test-blocks.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
const REPLICAS = 3;

/** Nodes learn of drains at different times, while blocks are put and read; drained ones are stopped for good. */
class DrainSimulation {
  readonly #seed: number;
  readonly #random: Random;
  readonly #cluster: BlockCluster;
  readonly #stored: TestBlock[] = [];
  #alive = [...NAMES];
  #blocks = 0;
  drains = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#cluster = new BlockCluster({ seed, latencyMs: () => 1 + this.#random.below(10) });
  }

  async run(): Promise<void> {
    this.#cluster.start(...NAMES);
    await this.#cluster.untilRing(NAMES);
    this.#cluster.tellRegistry();
    await this.#cluster.timers.advance(3000);
    await this.#work(20);
    while (this.#alive.length > REPLICAS) await this.#drainOne();
    await this.#cluster.stop();
  }

  async #drainOne(): Promise<void> {
    const { timers } = this.#cluster;
    const victim = this.#alive[this.#random.below(this.#alive.length)]!;
    await this.#tell({ [victim]: { mode: BlockNodeMode.DRAINING } });
    if (this.#random.next() < 0.3) {
      // Second thoughts, before it is done.
      await this.#tell({});
      await this.#work(5);
      return;
    }
    await this.#tell({ [victim]: { mode: BlockNodeMode.DRAINING, agreed: true } });
    const { server } = this.#cluster.node(victim);
    for (let i = 0; ; i++) {
      const { drain } = await timers.resolve(server.info());
      if (drain?.done === true) break;
      assert.ok(i < 100, `seed ${this.#seed}: ${victim} is never done: ${JSON.stringify(drain)}`);
      await this.#work(2);
    }
    this.drains++;
    for (const block of this.#stored) {
      const good = this.#cluster
        .holders(block)
        .filter((name) => this.#alive.includes(name) && name !== victim);
      assert.ok(good.length >= REPLICAS, `seed ${this.#seed}: a block is only on ${good.join()}`);
    }
    this.#alive = this.#alive.filter((name) => name !== victim);
    await this.#cluster.kill(victim);
    await this.#work(5);
  }

  /** One node after the other learns it, with work in between. */
  async #tell(changes: Parameters<BlockCluster['tellRegistry']>[0]): Promise<void> {
    const gone = NAMES.filter((name) => !this.#alive.includes(name));
    const removed = Object.fromEntries(
      gone.map((name) => [name, { mode: BlockNodeMode.REMOVED, alive: false }]),
    );
    const order = [...this.#alive].sort(() => this.#random.next() - 0.5);
    for (const name of order) {
      this.#cluster.tellRegistry({ ...removed, ...changes }, [name]);
      if (this.#random.next() < 0.5) await this.#work(1);
    }
  }

  /** Puts a few blocks as a client does, and reads some of all: neither may fail. */
  async #work(puts: number): Promise<void> {
    for (let i = 0; i < puts; i++) {
      const block = testBlock(this.#seed * 10_000 + this.#blocks++, 100 + this.#random.below(400));
      await this.#put(block);
      this.#stored.push(block);
      await this.#cluster.timers.advance(this.#random.below(300));
      await this.#read(this.#stored[this.#random.below(this.#stored.length)]!);
    }
  }

  async #put(block: TestBlock): Promise<void> {
    for (let round = 0; round < 5; round++) {
      const start = this.#alive[this.#random.below(this.#alive.length)]!;
      for (const name of await this.#cluster.owners(start, block)) {
        const reply = await this.#cluster.put(name, block).catch(() => undefined);
        if (reply?.$case === 'put') return;
      }
      await this.#cluster.timers.advance(100);
    }
    throw new Error(`seed ${this.#seed}: a block could not be put`);
  }

  /** From its owners, and then from anybody. */
  async #read(block: TestBlock): Promise<void> {
    const start = this.#alive[this.#random.below(this.#alive.length)]!;
    const owners = await this.#cluster.owners(start, block);
    for (const name of [...owners, ...this.#alive]) {
      if (!this.#alive.includes(name)) continue;
      const reply = await this.#cluster.get(name, block);
      if (reply.$case === 'get' && blockIdOf(reply.value.data) === block.id) return;
    }
    throw new Error(`seed ${this.#seed}: a block cannot be read`);
  }
}

describe('draining, simulated', () => {
  it('loses nothing, fails nothing, and is done only when every block is on R other nodes', async () => {
    let drains = 0;
    for (let seed = 1; seed <= 3; seed++) {
      const simulation = new DrainSimulation(seed);
      await simulation.run();
      drains += simulation.drains;
    }
    assert.ok(drains >= 6, `${drains} drains`);
  });
});
