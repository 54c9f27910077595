import assert from 'node:assert/strict';
import { EMPTY_BYTES, fromHex, toHex } from '../../../src/base/bytes.ts';
import type { BlockId } from '../../../src/base/ids.ts';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { blockKey, TABLE, tableRange } from '../../../src/core/namespace/keys.ts';
import { BLOCK } from '../../../src/core/namespace/rows.ts';
import type { BlockCopy, Extent, Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import { GarbageCollector } from '../../../src/meta/garbage-collector.ts';
import { BlockCluster } from '../../support/block-cluster.ts';
import { MemoryReplica } from '../../support/memory-replica.ts';
import { LineLogger } from '../../support/meta-server-fixture.ts';
import { NamespaceFixture } from '../../support/namespace-fixture.ts';
import { mkfile, truncate, write } from '../../support/namespace-ops.ts';
import { type TestBlock, testBlock } from '../../support/test-blocks.ts';

/** What a correct system has and a planted bug takes away. */
export interface Bugs {
  /** Nodes delete copies whatever the index of their upload. */
  readonly noFence?: boolean;
  /** Commits do not say how old their uploads are. */
  readonly noUploadIndex?: boolean;
}

export interface GarbageRun {
  readonly commits: number;
  readonly refused: number;
  readonly deletes: number;
  readonly reclaimed: number;
  readonly trace: string;
}

interface Lead {
  readonly replica: MemoryReplica;
  readonly collector: GarbageCollector;
}

function wholeBlock({ id, data }: TestBlock): Extent {
  const { length } = data;
  const blockId = fromHex(id);
  return { offset: 0, length, blockId, blockOffset: 0, blockLength: length, inline: EMPTY_BYTES };
}

const NAMES = ['a', 'b', 'c', 'd'];
const BLOCKS = 10;
const FILES = 6;
const GRACE_MS = 4_000;
const WORK_MS = 150_000;

/**
 * Clients that write, overwrite and remove a few contents, with uploads that take long or are never committed; nodes that
 * die and come back with their copies; deletes that arrive late, twice or not; leaders that change, the old one going on for a
 * while. No block that a file refers to may be without a copy, and in the end there is nothing left.
 */
export class GarbageSimulation {
  readonly #random: Random;
  readonly #bugs: Bugs;
  readonly #fs = new NamespaceFixture();
  readonly #cluster: BlockCluster;
  readonly #blocks: readonly TestBlock[];
  readonly #files: number[] = [];
  readonly #down = new Set<string>();
  readonly #leads: Lead[] = [];
  readonly #trace: string[] = [];
  #lead: Lead | undefined;
  #refused = 0;
  #commits = 0;
  #deletes = 0;
  #ended = false;

  constructor(seed: number, bugs: Bugs = {}) {
    this.#random = seededRandom(seed);
    this.#bugs = bugs;
    this.#blocks = Array.from({ length: BLOCKS }, (_, i) => testBlock(100 + i, 50 + i));
    const latency = seededRandom(seed + 1);
    this.#cluster = new BlockCluster({
      seed,
      latencyMs: () => 1 + latency.below(20),
      reconcile: (copies) => this.#reconcile(copies),
      reconcileIntervalMs: 15_000,
    });
  }

  async run(): Promise<GarbageRun> {
    const { timers } = this.#cluster;
    this.#cluster.start(...NAMES);
    await this.#cluster.untilRing(NAMES);
    for (let i = 0; i < FILES; i++) this.#files.push(this.#fs.ino(mkfile(1, `f${i}`)));
    this.#elect();
    const clients = Array.from({ length: 4 }, () => this.#client());
    const work = Promise.all([...clients, this.#churn(), this.#elections(), this.#watch()]);
    await timers.resolve(work, 10 * WORK_MS);
    await this.#emptied();
    for (const { collector } of this.#leads) collector.close();
    await this.#cluster.stop();
    const reclaimed = this.#blocks.filter(
      (b) => this.#fs.machine.store.getSync(blockKey(fromHex(b.id))) === undefined,
    );
    return {
      commits: this.#commits,
      refused: this.#refused,
      deletes: this.#deletes,
      reclaimed: reclaimed.length,
      trace: this.#trace.join('\n'),
    };
  }

  get #working(): boolean {
    return !this.#ended && this.#cluster.timers.nowMs() < WORK_MS;
  }

  #note(text: string): void {
    this.#trace.push(`${Math.round(this.#cluster.timers.nowMs())} ${text}`);
  }

  // The metadata leader ---------------------------------------------------------------------------

  #elect(): void {
    const former = this.#lead;
    former?.replica.becomeFollower();
    const replica = new MemoryReplica(`m${this.#leads.length}`, this.#fs.machine);
    replica.becomeLeader();
    const { timers } = this.#cluster;
    const collector = new GarbageCollector(
      {
        replica,
        timers,
        logger: new LineLogger(),
        nodes: async () =>
          NAMES.map((id) => ({
            info: { id, address: `${id}:1`, capacityBytes: 100, usedBytes: 0, virtualNodes: 8 },
            alive: !this.#down.has(id),
          })),
        deleteCopies: (address, ids, before) => this.#delete(address, ids, before),
      },
      { graceMs: GRACE_MS },
    );
    collector.start();
    this.#lead = { replica, collector };
    this.#leads.push(this.#lead);
    this.#note(`leader ${replica.id}`);
    // What the former one has begun goes on until it notices.
    if (former !== undefined) timers.after(this.#random.below(5_000), () => former.collector.close());
  }

  async #elections(): Promise<void> {
    while (this.#working) {
      await this.#cluster.timers.sleep(5_000 + this.#random.below(25_000));
      if (this.#working) this.#elect();
    }
  }

  /** Some arrive late, some twice, and of some the answer is lost. */
  async #delete(address: string, ids: readonly Uint8Array[], before: number): Promise<void> {
    this.#deletes++;
    const { timers } = this.#cluster;
    const value = {
      blockIds: [...ids],
      before: this.#bugs.noFence === true ? Number.MAX_SAFE_INTEGER : before,
    };
    const send = async (): Promise<void> => {
      const reply = await this.#call(address, { $case: 'delete', value });
      if (reply?.$case !== 'delete') throw new Error('not deleted');
      this.#note(`${address} deleted ${reply.value.deleted}, kept ${reply.value.kept} before ${before}`);
    };
    if (this.#random.below(4) === 0)
      timers.after(this.#random.below(20_000), () => void send().catch(() => {}));
    if (this.#random.below(4) === 0) throw new Error('no answer');
    await send();
  }

  async #reconcile(copies: readonly BlockCopy[]): Promise<number> {
    const lead = this.#lead;
    if (lead === undefined) throw new Error('no leader');
    return lead.collector.reconcile(copies);
  }

  // Clients ---------------------------------------------------------------------------------------

  async #client(): Promise<void> {
    const { timers } = this.#cluster;
    let seen = this.#fs.machine.index;
    while (this.#working) {
      await timers.sleep(this.#random.below(4_000));
      const block = this.#blocks[this.#random.below(BLOCKS)]!;
      const file = this.#files[this.#random.below(FILES)]!;
      if (this.#random.below(3) === 0) {
        this.#commit([truncate(file, 0)]);
        continue;
      }
      // Pings tell it now and then.
      if (this.#random.below(2) === 0) seen = this.#fs.machine.index;
      for (let attempt = 0; attempt < 4; attempt++) {
        if (!(await this.#put(block, seen))) break;
        if (this.#random.below(6) === 0) break; // never committed
        await timers.sleep(
          this.#random.below(3) === 0 ? this.#random.below(25_000) : this.#random.below(500),
        );
        const op = write(file, [wholeBlock(block)]);
        const { body, index } = this.#commit([op], this.#bugs.noUploadIndex === true ? 1e9 : seen);
        if (body?.$case !== 'missingBlocks') break;
        this.#refused++;
        seen = index;
      }
    }
  }

  #commit(ops: Op[], uploadedAt?: number): ReturnType<NamespaceFixture['commit']>['result'] {
    this.#commits++;
    const { result } = this.#fs.commit(ops, { uploadedAt });
    this.#note(`commit ${ops[0]?.body?.$case} at ${result.index} with ${uploadedAt}: ${result.body?.$case}`);
    this.#check();
    return result;
  }

  async #put(block: TestBlock, uploadedAt: number): Promise<boolean> {
    const at = this.#random.below(NAMES.length);
    const names = [...NAMES.slice(at), ...NAMES.slice(0, at)].filter((name) => !this.#down.has(name));
    const value = { blockId: fromHex(block.id), data: block.data, replicate: true, uploadedAt };
    for (const name of names) {
      const reply = await this.#call(`${name}:1`, { $case: 'put', value }).catch(() => undefined);
      if (reply?.$case !== 'put') continue;
      this.#note(`put ${block.id.slice(0, 4)} at ${name} with ${uploadedAt}`);
      return true;
    }
    return false;
  }

  async #call(
    address: string,
    body: Parameters<BlockCluster['call']>[1],
  ): Promise<Awaited<ReturnType<BlockCluster['call']>>> {
    const connection = await this.#cluster.network.connector('client').connect(address);
    try {
      return await connection.call(body, { timeoutMs: 10_000 });
    } finally {
      connection.close();
    }
  }

  // Trouble ---------------------------------------------------------------------------------------

  /** One node at a time is down, for longer than a grace or not, and comes back with what it had. */
  async #churn(): Promise<void> {
    const { timers } = this.#cluster;
    while (this.#working) {
      await timers.sleep(8_000 + this.#random.below(10_000));
      if (!this.#working) return;
      const name = NAMES[this.#random.below(NAMES.length)]!;
      this.#note(`kill ${name}`);
      this.#down.add(name);
      this.#cluster.network.kill(`${name}:1`);
      await this.#cluster.node(name).server.stop();
      await timers.sleep(this.#random.below(20_000));
      this.#note(`start ${name}`);
      this.#cluster.start(name);
      this.#down.delete(name);
      // Until repair has brought every block back to all its owners, another loss may be one too many.
      await timers.sleep(12_000);
    }
  }

  async #watch(): Promise<void> {
    while (this.#working) {
      await this.#cluster.timers.sleep(250);
      this.#check();
    }
  }

  #referenced(): Set<BlockId> {
    const out = new Set<BlockId>();
    for (const [key, value] of this.#fs.machine.store.scanSync(tableRange(TABLE.block)))
      if (BLOCK.decode(value).refs > 0) out.add(toHex(key.subarray(1)) as BlockId);
    return out;
  }

  #check(): void {
    for (const id of this.#referenced()) {
      const holders = NAMES.filter((name) => this.#cluster.node(name).store.blocks.has(id));
      if (holders.length > 0) continue;
      this.#ended = true;
      assert.fail(`nobody has block ${id}, which a file refers to, at ${this.#cluster.timers.nowMs()}`);
    }
  }

  async #emptied(): Promise<void> {
    const { timers } = this.#cluster;
    this.#commit(this.#files.map((file) => truncate(file, 0)));
    const left = (): number =>
      NAMES.reduce((sum, name) => sum + this.#cluster.node(name).store.blocks.size, 0);
    await timers.until(() => left() === 0, 600_000, 'nothing is left');
    const condemned = (): number => this.#fs.machine.store.scanSync(tableRange(TABLE.condemned)).length;
    await timers.until(() => condemned() === 0, 120_000, 'no row is left');
    assert.equal(this.#fs.machine.store.scanSync(tableRange(TABLE.block)).length, 0);
  }
}
