import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../../src/base/bytes.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { BlockConnections } from '../../../src/client/connections.ts';
import { NodeList } from '../../../src/client/node-list.ts';
import { RingCache } from '../../../src/client/ring-cache.ts';
import { Census } from '../../../src/fsck/census.ts';
import type { DamagedFile } from '../../../src/fsck/damage.ts';
import { Fsck, type FsckResult } from '../../../src/fsck/fsck.ts';
import type { Extent } from '../../../src/gen/ringfs/v1/namespace.ts';
import { BlockCluster } from '../../support/block-cluster.ts';
import { MemoryKvStore } from '../../support/memory-kv-store.ts';
import { NamespaceFixture } from '../../support/namespace-fixture.ts';
import * as ops from '../../support/namespace-ops.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { type TestBlock, testBlocks } from '../../support/test-blocks.ts';

const NAMES = ['n1', 'n2', 'n3', 'n4'];

interface Run {
  readonly result: FsckResult;
  readonly files: readonly DamagedFile[];
}

/** Two files over three blocks, one of which both have, on a ring of four nodes that keep three copies. */
class Rig {
  readonly cluster = new BlockCluster();
  readonly namespace = new NamespaceFixture();
  readonly blocks = testBlocks(3);
  readonly fileA: number;
  readonly fileB: number;
  readonly #random = seededRandom(3);
  readonly #logger = new RecordingLogger();

  private constructor() {
    const { namespace } = this;
    const dir = namespace.ino(ops.mkdir(1, 'dir'));
    this.fileA = namespace.ino(ops.mkfile(dir, 'a\nb'));
    this.fileB = namespace.ino(ops.mkfile(1, 'b'));
    namespace.ok(ops.write(this.fileA, [this.#extent(0, 0), this.#extent(1000, 1)]));
    namespace.ok(ops.write(this.fileB, [this.#extent(5000, 1), this.#extent(100_000_000, 2)]));
  }

  static async make(): Promise<Rig> {
    const rig = new Rig();
    rig.cluster.start(...NAMES);
    await rig.cluster.untilRing(NAMES);
    await rig.cluster.timers.advance(5_000);
    for (const block of rig.blocks) await rig.cluster.put('n1', block);
    await rig.cluster.timers.advance(1_000);
    return rig;
  }

  #extent(offset: number, n: number): Extent {
    const blockId = fromHex(this.blocks[n]!.id);
    return { offset, length: 1000, blockId, blockOffset: 0, blockLength: 1000, inline: new Uint8Array(0) };
  }

  async owners(block: TestBlock): Promise<string[]> {
    return await this.cluster.owners('n1', block);
  }

  async run(
    options: { verify?: boolean; repair?: boolean; known?: (ids: readonly Uint8Array[]) => boolean[] } = {},
  ): Promise<Run> {
    const { timers, network, nodes } = this.cluster;
    const parts = { timers, random: this.#random, logger: this.#logger };
    const connections = new BlockConnections(
      { connector: network.connector('fsck'), ...parts },
      { clientName: 'fsck', clusterId: 'test' },
    );
    const addresses = [...nodes.values()].map((node) => node.address);
    const list = new NodeList({ ...parts, source: async () => addresses });
    const ring = new RingCache({ connections, random: this.#random, nodes: list }, { replicas: 3 });
    const sorted = new MemoryKvStore();
    const fsck = new Fsck(
      {
        rows: this.namespace.machine.store,
        sorted,
        damage: new MemoryKvStore(),
        census: new Census({ connections, ring, timers, logger: this.#logger, nodes: addresses }),
        stillKnown: async (ids) => options.known?.(ids) ?? ids.map(() => true),
        onProgress: () => {},
      },
      { replicas: 3, verify: options.verify ?? true, repair: options.repair ?? false },
    );
    const run = async (): Promise<Run> => {
      const result = await fsck.run();
      const files: DamagedFile[] = [];
      for await (const file of result.book.files(sorted)) files.push(file);
      return { result, files };
    };
    const done = await timers.resolve(run());
    connections.close();
    return done;
  }
}

const ranges = (files: readonly DamagedFile[]): unknown[] =>
  files.map(({ path, ranges: all }) => [path, all.map((r) => [r.offset, r.length, r.verdict])]);

describe('fsck', () => {
  it('finds nothing wrong with what is whole', async () => {
    const rig = await Rig.make();
    const { result, files } = await rig.run();
    assert.deepEqual(result.findings, []);
    assert.deepEqual([result.sums.blocks, result.sums.good, result.sums.bytes], [3, 3, 3000]);
    assert.deepEqual(files, []);
    assert.equal(result.ownersMax, 3);
    await rig.cluster.stop();
  });

  it('names every file and range over a bad copy, and has it replaced', async () => {
    const rig = await Rig.make();
    const shared = rig.blocks[1]!;
    const [owner] = await rig.owners(shared);
    const { store } = rig.cluster.node(owner!);
    store.corrupt(shared.id);

    const fast = await rig.run({ verify: false });
    assert.equal(fast.result.sums.good, 3, 'only a reader sees it');

    const found = await rig.run();
    assert.deepEqual(ranges(found.files), [
      ['/dir/a\\x0ab', [[1000, 1000, 'degraded']]],
      ['/b', [[5000, 1000, 'degraded']]],
    ]);
    const bad = found.files[0]!.ranges[0]!.copies.filter((copy) => copy.state !== 'good');
    assert.deepEqual(bad, [{ address: `${owner}:1`, state: 'corrupt', owner: true }]);
    assert.notDeepEqual(store.blocks.get(shared.id), shared.data, 'without --repair nothing is changed');

    const repaired = await rig.run({ repair: true });
    assert.deepEqual([repaired.result.sums.repaired, repaired.result.sums.good], [1, 2]);
    assert.deepEqual(ranges(repaired.files)[1], ['/b', [[5000, 1000, 'repaired']]]);
    assert.deepEqual(store.blocks.get(shared.id), shared.data);
    assert.equal((await rig.run()).result.sums.good, 3);
    await rig.cluster.stop();
  });

  it('sees a missing copy without reading, and has it made again', async () => {
    const rig = await Rig.make();
    const block = rig.blocks[2]!;
    const [, second] = await rig.owners(block);
    rig.cluster.node(second!).store.blocks.delete(block.id);
    const { files } = await rig.run({ verify: false, repair: true });
    assert.deepEqual(ranges(files), [['/b', [[100_000_000, 1000, 'repaired']]]]);
    assert.ok(rig.cluster.node(second!).store.blocks.has(block.id));
    await rig.cluster.stop();
  });

  it('finds the last good copy where it does not belong', async () => {
    const rig = await Rig.make();
    const block = rig.blocks[0]!;
    const owners = await rig.owners(block);
    const other = NAMES.find((name) => !owners.includes(name))!;
    await rig.cluster.put(other, block, false);
    for (const name of owners) rig.cluster.node(name).store.blocks.delete(block.id);
    const found = await rig.run();
    assert.deepEqual(ranges(found.files), [['/dir/a\\x0ab', [[0, 1000, 'degraded']]]]);
    const repaired = await rig.run({ repair: true });
    assert.equal(repaired.result.sums.repaired, 1);
    for (const name of owners)
      assert.deepEqual(rig.cluster.node(name).store.blocks.get(block.id), block.data, name);
    await rig.cluster.stop();
  });

  it('says what is lost, and leaves the bad copies where they are', async () => {
    const rig = await Rig.make();
    const block = rig.blocks[0]!;
    const owners = await rig.owners(block);
    for (const name of owners) rig.cluster.node(name).store.corrupt(block.id);
    const { result, files } = await rig.run({ repair: true });
    assert.equal(result.sums.lost, 1);
    assert.deepEqual(ranges(files), [['/dir/a\\x0ab', [[0, 1000, 'lost']]]]);
    for (const name of owners) {
      const { store, server } = rig.cluster.node(name);
      assert.ok(store.blocks.has(block.id));
      assert.equal((await rig.cluster.timers.resolve(server.info())).badCopies, 1);
    }
    // A good copy that turns up is taken by all: what is bad does not pass for a copy.
    await rig.cluster.put('n1', block);
    await rig.cluster.timers.advance(5_000);
    assert.equal((await rig.run()).result.sums.good, 3);
    assert.equal((await rig.cluster.timers.resolve(rig.cluster.node(owners[0]!).server.info())).badCopies, 0);
    await rig.cluster.stop();
  });

  it('does not call lost what a node that does not answer may have', async () => {
    const rig = await Rig.make();
    const block = rig.blocks[0]!;
    const owners = await rig.owners(block);
    for (const name of owners.slice(1)) rig.cluster.node(name).store.blocks.delete(block.id);
    await rig.cluster.kill(owners[0]!);
    const { result } = await rig.run();
    assert.deepEqual([result.sums.unavailable, result.sums.lost], [1, 0]);
    await rig.cluster.stop();
  });

  it('is not alarmed by blocks that were deleted meanwhile', async () => {
    const rig = await Rig.make();
    for (const name of NAMES) rig.cluster.node(name).store.blocks.delete(rig.blocks[0]!.id);
    const { result, files } = await rig.run({ known: (ids) => ids.map(() => false) });
    assert.deepEqual([result.sums.unreferenced, result.sums.lost], [1, 0]);
    assert.deepEqual(files, []);
    await rig.cluster.stop();
  });

  it('says when the ring has fewer nodes than copies', async () => {
    const rig = await Rig.make();
    await rig.cluster.kill('n1');
    await rig.cluster.kill('n2');
    await rig.cluster.timers.advance(30_000);
    const { result } = await rig.run();
    assert.equal(result.ownersMax, 2);
    assert.equal(result.sums.good, 3);
    await rig.cluster.stop();
  });
});
