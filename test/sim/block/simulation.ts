import type { BlockId } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import { BlockReply, BlockRequest } from '../../../src/gen/ringfs/v1/block.ts';
import { MemoryNetwork } from '../../support/memory-rpc.ts';
import { type TestBlock, testBlock } from '../../support/test-blocks.ts';
import { Over, Passage } from '../harness/passage.ts';
import type { RunResult } from '../harness/simulator.ts';
import { SimProcess, Violation, World } from '../harness/world.ts';
import { CopyChecks } from './copies.ts';
import { BlockFaults } from './faults.ts';
import { SimMetadata, type SimMetadataComponents } from './metadata.ts';
import { type BlockNetwork, type NodeTampering, SimNode } from './node.ts';
import { SimOperator } from './operator.ts';
import { type BlocksOptions, noCounts } from './options.ts';
import { type Holding, SimUser } from './user.ts';

const WATCH_MS = 100;
const BEGIN_MS_MAX = 30_000;
/** After the trouble, operations end within this time. */
const END_MS_MAX = 60_000;
/** And every block is on all its owners: two walks of repair, and a pass of the scrubber. */
const HEAL_MS_MAX = 240_000;
/** Until then nothing is left of blocks that no file refers to. */
const EMPTY_MS_MAX = 600_000;
const KEEPALIVE_MS = 3_000;
const STRAGGLING_MS_MAX = 2_000;
/** A living node is in the registry until it has not reported for this long. */
const REPORT_MS_MAX = 3_000;

export interface BlocksMutation {
  readonly node?: NodeTampering;
  readonly metadata?: Pick<SimMetadataComponents, 'fence' | 'uploadIndex' | 'copies'>;
}

export interface BlocksRunOptions {
  /** A planted mistake, which a checker has to find. */
  readonly mutation?: BlocksMutation;
  /** Only these checks speak. Default: all. */
  readonly only?: readonly string[];
  readonly onTrace?: (line: string) => void;
}

/** Runs production block nodes and clients under `options`, with luck drawn from `seed`, in virtual time. */
export async function runBlocks(
  seed: number,
  options: BlocksOptions,
  run: BlocksRunOptions = {},
): Promise<RunResult> {
  const simulation = new BlocksSimulation(seed, options, run);
  await simulation.run();
  const { world, counts } = simulation;
  counts.simulatedMs = Math.round(world.nowMs);
  return { seed, violation: world.violation, counts, digest: world.digest() };
}

class BlocksSimulation {
  readonly world: World;
  readonly counts = noCounts();
  readonly #options: BlocksOptions;
  readonly #mutation: BlocksMutation;
  readonly #passage: Passage;
  readonly #processes = new Map<string, SimProcess>();
  readonly #network: BlockNetwork;
  readonly #nodes: SimNode[] = [];
  /** When each node was last up. */
  readonly #reported = new Map<SimNode, number>();
  readonly #users: SimUser[] = [];
  readonly #metadata: SimMetadata;
  readonly #operator: SimOperator;
  readonly #copies: CopyChecks;
  readonly #shapes: Random;
  /** This run has failure domains. */
  readonly #domained: boolean;
  readonly #contents: readonly TestBlock[];
  readonly #bytesOf: ReadonlyMap<BlockId, Buffer>;
  readonly #uploads = new Map<BlockId, number>();
  readonly #holdings = new Set<Holding>();
  #sides: ReadonlyMap<string, number> = new Map();

  constructor(seed: number, options: BlocksOptions, run: BlocksRunOptions) {
    this.world = new World(seed, run);
    this.#options = options;
    this.#mutation = run.mutation ?? {};
    this.#passage = new Passage(this.world, () => {
      this.counts.events++;
    });
    this.#network = this.#makeNetwork();
    this.#contents = Array.from({ length: options.contents }, (_, i) =>
      testBlock(seed + i, options.blockBytes + i),
    );
    this.#bytesOf = new Map(this.#contents.map(({ id, data }) => [id, Buffer.from(data)]));
    this.#metadata = new SimMetadata(
      {
        world: this.world,
        counts: this.counts,
        network: this.#network,
        processes: this.#processes,
        reachable: (address) => this.#sides.get(address) === this.#sides.get('meta'),
        ...this.#mutation.metadata,
      },
      options,
    );
    this.#copies = new CopyChecks(
      {
        world: this.world,
        counts: this.counts,
        metadata: this.#metadata,
        nodes: () => this.#nodes,
        hasGood: (node, id) => this.#hasGood(node, id),
      },
      options.replicas,
    );
    this.#shapes = this.world.random('shapes');
    this.#domained = this.#shapes.next() < options.domained;
    if (this.#domained) this.counts.inDomains++;
    this.#operator = new SimOperator({
      world: this.world,
      counts: this.counts,
      metadata: this.#metadata,
      lastCopies: (node) => this.#lastCopies(node),
      elsewhere: (node, id) => this.#members().some((other) => other !== node && other.disk.has(id)),
    });
  }

  async run(): Promise<void> {
    try {
      await this.#begin();
      await this.#passage.pass(this.#options.seconds * 1_000);
      await this.#mend();
      await this.#empty();
    } catch (error) {
      if (!(error instanceof Over)) {
        const why = error instanceof Error ? error.stack : String(error);
        this.world.fail(new Violation('simulation', `the simulator itself failed: ${why}`, { cause: error }));
      }
    } finally {
      for (const process of this.#processes.values()) process.alive = false;
    }
  }

  // Phases ------------------------------------------------------------------------------------------------

  async #begin(): Promise<void> {
    for (let i = 0; i < this.#options.founders; i++) this.#addNode();
    await this.#passage.until(
      () => this.#nodes.every(({ server }) => server?.joined && server.ringNodes().length > 1),
      BEGIN_MS_MAX,
      () => 'there is no ring',
    );
    for (let i = 0; i < this.#options.clients; i++) this.#addUser();
    new BlockFaults(
      {
        world: this.world,
        counts: this.counts,
        network: this.#network,
        metadata: this.#metadata,
        operator: this.#operator,
        nodes: () => this.#nodes,
        addNode: () => this.#addNode(),
        userNames: this.#users.map(({ name }) => name),
        lastCopies: (node) => this.#lastCopies(node),
        flipBit: (node, id) => {
          node.disk.content.corrupt(id);
          node.disk.gone(id, this.world.nowMs);
        },
        onPartition: (sides) => {
          this.#sides = sides;
        },
      },
      this.#options,
    ).start();
    this.#watch();
    for (const user of this.#users) user.start();
  }

  /** Mends everything; then operations end, and every block is where it belongs. */
  async #mend(): Promise<void> {
    this.world.trace('everything is mended');
    this.world.healing = true;
    this.#network.heal();
    this.#sides = new Map();
    for (const node of this.#nodes) {
      node.disk.full = false;
      node.disk.stalledUntilMs = 0;
      if (!node.leaving) node.start();
    }
    const startMs = this.world.nowMs;
    await this.#passage.until(
      () => this.#users.every(({ running }) => running === 0),
      END_MS_MAX,
      () => 'operations do not end',
    );
    await this.#passage.until(
      () => this.#nodes.every(({ leaving }) => !leaving),
      END_MS_MAX,
      () => 'a node does not stop',
    );
    for (const node of this.#nodes) node.start();
    await this.#passage.until(
      () => this.#operator.running === 0,
      HEAL_MS_MAX,
      () => 'a drain does not end',
      WATCH_MS,
    );
    await this.#passage.until(
      () => this.#copies.lacking() === undefined,
      HEAL_MS_MAX,
      () => String(this.#copies.lacking()),
      WATCH_MS,
    );
    this.counts.healMs = Math.round(this.world.nowMs - startMs);
    this.world.trace('every block is on all its owners');
    await this.#passage.until(
      () => this.#copies.surplus() === undefined,
      HEAL_MS_MAX,
      () => String(this.#copies.surplus()),
      WATCH_MS,
    );
    this.world.trace('and on no other node');
    const lacking = this.#copies.lacking();
    if (lacking !== undefined) this.world.fail(new Violation('surplus', `after all drops, ${lacking}`));
    const [user] = this.#users;
    if (user === undefined) return;
    const referenced = this.#metadata.referenced();
    for (const block of this.#contents) {
      if (referenced.has(block.id)) await this.#resolve(user.read(block));
    }
    const stored = await this.#resolve(user.put(testBlock(this.world.seed ^ 0x5a5a5a5a, 100)));
    if (!stored) this.world.fail(new Violation('liveness', 'a put failed although nothing is broken'));
  }

  async #resolve<T>(promise: Promise<T>): Promise<T> {
    return this.#passage.resolve(promise, END_MS_MAX, () => 'an operation does not end');
  }

  /** When no file refers to anything, no node keeps anything. */
  async #empty(): Promise<void> {
    for (let i = 0; i < this.#metadata.fileCount; i++) this.#metadata.truncate(i);
    const left = (): number =>
      this.#members().reduce((sum, { disk }) => sum + disk.content.blocks.size, this.#metadata.rows());
    await this.#passage.until(
      () => left() === 0,
      EMPTY_MS_MAX,
      () => `${left()} copies and rows are left of blocks that no file refers to`,
      WATCH_MS,
    );
  }

  // Checks ------------------------------------------------------------------------------------------------

  #members(): SimNode[] {
    return this.#nodes.filter(({ isMember }) => isMember);
  }

  #hasGood({ disk }: SimNode, id: BlockId): boolean {
    const copy = disk.content.blocks.get(id);
    return copy !== undefined && this.#bytesOf.get(id)!.equals(copy);
  }

  /**
   * Of the blocks that must not be lost, those of which nobody else has a good copy that counts: one with an older index, which a node
   * has kept that was away, may go with any delete.
   */
  #lastCopies(node: SimNode): BlockId[] {
    const precious = new Set([...this.#metadata.referenced(), ...this.#uploads.keys()]);
    const others = this.#members().filter((other) => other !== node);
    const indexAt = ({ disk }: SimNode, id: BlockId): number => disk.content.uploadedAt.get(id) ?? 0;
    return [...precious].filter(
      (id) =>
        node.disk.has(id) &&
        !others.some((other) => this.#hasGood(other, id) && indexAt(other, id) >= indexAt(node, id)),
    );
  }

  /** Nodes that can answer a client now and have a good copy. */
  #holders({ id, client }: Holding): SimNode[] {
    return this.#nodes.filter(
      (node) =>
        node.serving && this.#sides.get(node.address) === this.#sides.get(client) && this.#hasGood(node, id),
    );
  }

  #watch(): void {
    if (this.world.violation !== undefined) return;
    this.world.queue.after(WATCH_MS, () => this.#watch());
    for (const node of this.#nodes) if (node.up) this.#reported.set(node, this.world.nowMs);
    const referenced = this.#metadata.referenced();
    for (const id of referenced) {
      if (this.#members().some((node) => this.#hasGood(node, id))) continue;
      this.world.fail(new Violation('lost', `no disk has block ${id.slice(0, 6)}, which a file refers to`));
    }
    for (const holding of this.#holdings) this.#observe(holding, referenced);
  }

  #observe(holding: Holding, referenced: ReadonlySet<BlockId>): void {
    const now = this.#holders(holding);
    holding.holders = holding.holders.filter((node) => now.includes(node));
    holding.unreferenced ||= !referenced.has(holding.id);
  }

  // Making ------------------------------------------------------------------------------------------------

  #addNode(): void {
    const { virtualNodes, big, domains } = this.#options;
    const weight = this.#shapes.next() < big ? 2 : 1;
    const domain = this.#domained ? `d${this.#shapes.below(domains)}` : undefined;
    const node = new SimNode(
      {
        world: this.world,
        network: this.#network,
        processes: this.#processes,
        seeds: () => this.#registered(),
        reconcile: (process, copies) => this.#metadata.reconcile(process, copies),
        report: (process, info, details) => this.#metadata.report(process, info, details),
        onDrop: (node, entry) => this.#copies.onDrop(node, entry),
        tampering: this.#mutation.node ?? {},
      },
      this.#options,
      { name: `n${this.#nodes.length + 1}`, virtualNodes: virtualNodes * weight, domain },
    );
    this.#nodes.push(node);
    this.#reported.set(node, this.world.nowMs);
    node.start();
  }

  /** Addresses of the nodes that have reported a moment ago. */
  #registered(): string[] {
    const now = this.world.nowMs;
    return this.#nodes
      .filter((node) => now - (this.#reported.get(node) ?? 0) < REPORT_MS_MAX)
      .map(({ address }) => address);
  }

  #addUser(): void {
    const user = new SimUser(
      {
        world: this.world,
        counts: this.counts,
        network: this.#network,
        processes: this.#processes,
        metadata: this.#metadata,
        contents: this.#contents,
        nodes: () => this.#registered(),
        uploads: this.#uploads,
        watch: (holding) => {
          holding.holders = this.#holders(holding);
          this.#holdings.add(holding);
        },
        unwatch: (holding) => {
          this.#holdings.delete(holding);
        },
        ended: (holding) => this.#observe(holding, this.#metadata.referenced()),
      },
      this.#options,
      `c${this.#users.length + 1}`,
    );
    this.#users.push(user);
  }

  #makeNetwork(): BlockNetwork {
    const { world } = this;
    const random = world.random('network');
    const losses = world.random('losses');
    const { latencyMs, loss, straggling } = this.#options;
    const dead = new SimProcess(world, 'dead', { rate: 1, wallMs: 0 });
    dead.alive = false;
    const network: BlockNetwork = new MemoryNetwork(
      { timers: new SimProcess(world, 'network', { rate: 1, wallMs: 0 }) },
      {
        latencyMs: () => {
          const late = !world.healing && random.next() < straggling ? random.below(STRAGGLING_MS_MAX) : 0;
          return 0.1 + random.next() * latencyMs + late;
        },
        keepaliveMs: KEEPALIVE_MS,
        process: (name) => {
          const process = this.#processes.get(name) ?? dead;
          return { timers: process, run: (action) => process.run(action) };
        },
        // Those of the ring, by far the most, are made anew for each message: what was sent is nobody else's any more.
        copyRequest: (m: BlockRequest) =>
          m.body?.$case === 'ring' ? m : BlockRequest.decode(BlockRequest.encode(m).finish()),
        copyReply: (m: BlockReply) =>
          m.body?.$case === 'ring' ? m : BlockReply.decode(BlockReply.encode(m).finish()),
      },
    );
    network.onDeliver = ({ from, to, kind, body }) => {
      if (body.$case !== 'ring') world.trace(`${from} > ${to} ${kind} ${body.$case}`);
      return world.healing || losses.next() >= loss;
    };
    return network;
  }
}
