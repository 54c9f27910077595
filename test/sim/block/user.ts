import type { BlockId } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import { BlockClient } from '../../../src/client/block-client.ts';
import type { TestBlock } from '../../support/test-blocks.ts';
import { SimLogger, SimProcess, Violation, type World } from '../harness/world.ts';
import type { SimMetadata } from './metadata.ts';
import type { BlockNetwork, SimNode } from './node.ts';
import type { BlocksCounts, BlocksOptions } from './options.ts';

const COMMIT_ATTEMPTS_MAX = 4;
const SLOW_COMMIT_MS = 12_000;

/** Nodes that had a good copy all the time and could be reached. */
export interface Holding {
  readonly id: BlockId;
  readonly client: string;
  holders: readonly SimNode[];
  /** No file has referred to the block for a moment. */
  unreferenced: boolean;
}

export interface SimUserComponents {
  readonly world: World;
  readonly counts: BlocksCounts;
  readonly network: BlockNetwork;
  readonly processes: Map<string, SimProcess>;
  readonly metadata: SimMetadata;
  readonly contents: readonly TestBlock[];
  /** Addresses of living nodes. */
  readonly nodes: () => readonly string[];
  /** Uploads under way: no copy of theirs is destroyed that is the last. */
  readonly uploads: Map<BlockId, number>;
  readonly watch: (holding: Holding) => void;
  readonly unwatch: (holding: Holding) => void;
  /** Looks once more whether the holders still are. */
  readonly ended: (holding: Holding) => void;
}

/** A mount, as far as blocks are concerned: the production client, and callers that write, read and truncate files. */
export class SimUser {
  readonly name: string;
  readonly #c: SimUserComponents;
  readonly #options: BlocksOptions;
  readonly #process: SimProcess;
  readonly #client: BlockClient;
  /** The highest commit index that was heard of. */
  #seen: number;
  running = 0;

  constructor(components: SimUserComponents, options: BlocksOptions, name: string) {
    const { world, network, processes, metadata, nodes } = components;
    this.#c = components;
    this.#options = options;
    this.name = name;
    this.#seen = metadata.index;
    this.#process = new SimProcess(world, name, { rate: 1, wallMs: 0 });
    processes.set(name, this.#process);
    this.#client = new BlockClient(
      {
        connector: network.connector(name),
        timers: this.#process,
        random: world.random(`client ${name}`),
        logger: new SimLogger(this.#process),
        nodes: async () => nodes(),
        seenIndex: () => this.#seen,
      },
      { clientName: name, clusterId: 'sim', cacheBytes: 0, replicas: options.replicas },
    );
  }

  start(): void {
    for (let i = 0; i < this.#options.fibers; i++) {
      this.running++;
      void this.#fiber(this.#c.world.random(`${this.name} ${i}`)).then(
        () => {
          this.running--;
        },
        (error: unknown) => this.#c.world.fail(new Violation('simulation', String(error), { cause: error })),
      );
    }
  }

  /** Reads a block that is referred to and must be there. */
  async read(block: TestBlock): Promise<void> {
    const { world, counts, watch, unwatch, ended } = this.#c;
    const holding: Holding = { id: block.id, client: this.name, holders: [], unreferenced: false };
    counts.gets++;
    watch(holding);
    const startMs = world.nowMs;
    try {
      const data = await this.#client.get(block.id);
      if (!Buffer.from(data).equals(block.data)) {
        world.fail(new Violation('wrong-bytes', `${this.name} read something else than block ${block.id}`));
      }
    } catch (error) {
      ended(holding);
      world.trace(`${this.name} cannot read ${block.id.slice(0, 6)}: ${(error as Error).message}`);
      if (holding.holders.length === 0 || holding.unreferenced) counts.getsExcused++;
      else {
        const names = holding.holders.map(({ name }) => name).join();
        const ms = Math.round(world.nowMs - startMs);
        const what = `${this.name} could not read ${block.id.slice(0, 6)} within ${ms} ms, which ${names} had`;
        world.fail(new Violation('unreadable', `${what}: ${(error as Error).message}`, { cause: error }));
      }
    } finally {
      unwatch(holding);
    }
  }

  /** Whether the put was acknowledged. */
  async put(block: TestBlock): Promise<boolean> {
    const { world, counts } = this.#c;
    try {
      await this.#client.put(block.data);
      counts.puts++;
      world.trace(`${this.name} put ${block.id.slice(0, 6)}`);
      return true;
    } catch (error) {
      counts.putsFailed++;
      world.trace(`${this.name} cannot put ${block.id.slice(0, 6)}: ${(error as Error).message}`);
      return false;
    }
  }

  async #fiber(random: Random): Promise<void> {
    const { world, metadata, contents } = this.#c;
    const { thinkMs, reading, truncating } = this.#options;
    for (;;) {
      await this.#process.sleep(2 * random.next() * thinkMs);
      if (world.healing) return;
      // Pings tell it now and then.
      if (random.below(2) === 0) this.#seen = metadata.index;
      const choice = random.next();
      if (choice < reading) {
        const referenced = metadata.referenced();
        const known = contents.filter(({ id }) => referenced.has(id));
        if (known.length > 0) await this.read(known[random.below(known.length)]!);
      } else if (choice < reading + truncating) {
        metadata.truncate(random.below(metadata.fileCount));
      } else {
        await this.#write(random, contents[random.below(contents.length)]!);
      }
    }
  }

  async #write(random: Random, block: TestBlock): Promise<void> {
    const { metadata, uploads } = this.#c;
    const file = random.below(metadata.fileCount);
    uploads.set(block.id, (uploads.get(block.id) ?? 0) + 1);
    try {
      for (let attempt = 0; attempt < COMMIT_ATTEMPTS_MAX; attempt++) {
        const uploadedAt = this.#seen;
        if (!(await this.put(block))) return;
        if (random.next() < this.#options.forgetting) return;
        await this.#process.sleep(random.below(random.below(5) === 0 ? SLOW_COMMIT_MS : 300));
        if (metadata.write(file, block, uploadedAt) === 'ok') return;
        this.#seen = metadata.index;
      }
    } finally {
      const left = uploads.get(block.id)! - 1;
      if (left === 0) uploads.delete(block.id);
      else uploads.set(block.id, left);
    }
  }
}
