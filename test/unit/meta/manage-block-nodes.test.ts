import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../../src/base/bytes.ts';
import { BLOCK_NODE_ALIVE_MS } from '../../../src/base/limits.ts';
import { listBlockNodes } from '../../../src/core/namespace/read.ts';
import type { BlockNodesReply, RemovalCost } from '../../../src/gen/ringfs/v1/admin.ts';
import type { BlockNodeReport, BlockNodeState } from '../../../src/gen/ringfs/v1/meta.ts';
import { type BlockNodeInfo, BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { MetaServerFixture, turn } from '../../support/meta-server-fixture.ts';
import { block, blockId, mkfile, unlink, write } from '../../support/namespace-ops.ts';
import { inoOf, type StubMetaClient } from '../../support/stub-meta-client.ts';

const { UNSPECIFIED, DRAINING, REMOVED } = BlockNodeMode;
const KIB = 1024;

const infoOf = (id: string, domain?: string): BlockNodeInfo => ({
  id,
  address: `${id}:2`,
  capacityBytes: 1000,
  usedBytes: 100,
  virtualNodes: 32,
  availableBytes: 1000,
  domain,
});

/** A leader, block nodes that report themselves, and what each of them has. */
class Nodes {
  readonly copies = new Map<string, Set<string>>();
  readonly silent = new Set<string>();
  readonly fixture: MetaServerFixture;
  #observer: StubMetaClient | undefined;

  constructor() {
    this.fixture = new MetaServerFixture(
      {},
      {
        hasCopies: async (address, ids) => {
          if (this.silent.has(address)) throw new Error(`${address}: refused`);
          const held = this.copies.get(address.slice(0, 2));
          return ids.map((id) => held?.has(toHex(id)) === true);
        },
      },
    );
  }

  static async start(...names: string[]): Promise<Nodes> {
    const nodes = new Nodes();
    nodes.fixture.replica.becomeLeader();
    await turn();
    // A new leader has to hear of the nodes first.
    await nodes.fixture.timers.advance(BLOCK_NODE_ALIVE_MS + 1);
    for (const name of names) await nodes.report(name);
    return nodes;
  }

  async report(
    name: string,
    more: Partial<BlockNodeReport> = {},
    domain?: string,
  ): Promise<BlockNodeState[]> {
    if (this.#observer === undefined) {
      this.#observer = this.fixture.stub();
      await this.#observer.observe();
    }
    const value = { node: infoOf(name, domain), ...more };
    return (await this.#observer.ask({ $case: 'blockNodeReport', value }, 'blockNodeReport')).nodes;
  }

  /** Three blocks of 1 KiB in one file, and their ids. */
  async writeBlocks(): Promise<string[]> {
    const client = await this.fixture.client();
    const ino = inoOf(await client.commit([mkfile(1, 'f')]));
    const labels = ['x', 'y', 'z'];
    await client.commit([
      write(
        ino,
        labels.map((label, i) => block(i * KIB, KIB, label)),
      ),
    ]);
    return labels.map((label) => toHex(blockId(label)));
  }

  async change(
    id: string,
    mode: BlockNodeMode,
    force = false,
  ): Promise<NonNullable<BlockNodesReply['result']>> {
    const { result } = await this.fixture.server.blockNodes({ change: { id, mode, force } });
    assert.ok(result !== undefined);
    return result;
  }

  async refused(pattern: RegExp, id: string, mode: BlockNodeMode): Promise<void> {
    const result = await this.change(id, mode);
    assert.ok(result.$case === 'refused', JSON.stringify(result));
    assert.match(`${result.value.reason} ${result.value.hint}`, pattern);
  }

  async done(id: string, mode: BlockNodeMode, force = false): Promise<RemovalCost | undefined> {
    const result = await this.change(id, mode, force);
    assert.ok(result.$case === 'nodes', JSON.stringify(result));
    assert.equal(result.value.nodes.find((node) => node.info?.id === id)?.mode, mode);
    return result.value.cost;
  }
}

describe('draining, removing and taking back block nodes', () => {
  it('is in the row, outlives reports and leaders, and is told to all nodes', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    await nodes.done('n4', DRAINING);
    await nodes.report('n4', {}, 'rack');
    const row = (await listBlockNodes(nodes.fixture.replica.state)).find(({ node }) => node.id === 'n4');
    assert.deepEqual([row?.mode, row?.node.domain], [DRAINING, 'rack']);
    assert.equal(row?.placedAt, row?.version, 'its domain is new');
    nodes.fixture.replica.becomeFollower();
    nodes.fixture.replica.becomeLeader();
    await turn();
    const told = await nodes.report('n1');
    assert.deepEqual(
      told.map(({ info, mode }) => [info?.id, mode]),
      [
        ['n1', 0],
        ['n2', 0],
        ['n3', 0],
        ['n4', DRAINING],
      ],
    );
    await nodes.done('n4', UNSPECIFIED);
    assert.equal((await nodes.report('n1'))[3]?.mode, UNSPECIFIED);
  });

  it('is agreed once every living node places blocks by it', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    await nodes.done('n4', DRAINING);
    const own = async (name: string, placedAt: number): Promise<BlockNodeState | undefined> =>
      (await nodes.report(name, { placedAt })).find(({ info }) => info?.id === 'n4');
    const placedAt = (await own('n1', 0))?.placedAt ?? 0;
    assert.ok(placedAt > 0);
    for (const name of ['n1', 'n2', 'n3']) assert.equal((await own(name, placedAt))?.agreed, false, name);
    assert.equal((await own('n4', placedAt - 1))?.agreed, false);
    assert.equal((await own('n4', placedAt))?.agreed, true);
    // One that does not report is not waited for.
    await own('n2', 0);
    assert.equal((await own('n4', placedAt))?.agreed, false);
    await nodes.fixture.timers.advance(BLOCK_NODE_ALIVE_MS + 1);
    assert.equal((await own('n4', placedAt))?.agreed, true);
  });

  it('does not believe in an agreement of nodes that a new leader has not heard of', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    await nodes.done('n4', DRAINING);
    nodes.fixture.replica.becomeFollower();
    nodes.fixture.replica.becomeLeader();
    await turn();
    const states = await nodes.report('n4', { placedAt: 1_000_000 });
    assert.equal(states.find(({ info }) => info?.id === 'n4')?.agreed, false);
  });

  it('tells what a draining node has left, and counts it out of the capacity', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    const client = await nodes.fixture.client();
    const capacity = async (): Promise<number> =>
      (await client.ask({ $case: 'statFs', value: {} }, 'statFs')).capacityBytes;
    assert.equal(await capacity(), Math.floor(4000 / 3));
    await nodes.done('n4', DRAINING);
    assert.equal(await capacity(), 1000);
    const drain = { blocksLeft: 5, bytesLeft: 50, done: false };
    const states = await nodes.report('n4', { drain });
    assert.deepEqual(states.find(({ info }) => info?.id === 'n4')?.drain, drain);
  });

  it('refuses to drain what would leave too few, is gone, or nobody knows', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3');
    await nodes.refused(/there is no block node n9/, 'n9', DRAINING);
    await nodes.refused(
      /only 2 of the living block nodes would take blocks, for 3 copies.*--force/,
      'n3',
      DRAINING,
    );
    await nodes.done('n3', DRAINING, true);
    await nodes.done('n2', DRAINING, true);
    const last = await nodes.change('n1', DRAINING, true);
    assert.ok(last.$case === 'refused' && /no other living/.test(last.value.reason));
    await nodes.done('n2', UNSPECIFIED);
    await nodes.done('n3', UNSPECIFIED);
    await nodes.report('n4');
    await nodes.fixture.timers.advance(BLOCK_NODE_ALIVE_MS + 1);
    for (const name of ['n1', 'n2', 'n3']) await nodes.report(name);
    await nodes.refused(/n4 does not answer.*ringfs node remove n4/, 'n4', DRAINING);
  });

  it('removes a drained node when the others have everything, and it is gone for clients', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    const ids = await nodes.writeBlocks();
    for (const name of ['n1', 'n2', 'n4']) nodes.copies.set(name, new Set(ids));
    await nodes.refused(/n4 is alive and takes blocks.*ringfs node drain n4/, 'n4', REMOVED);
    await nodes.done('n4', DRAINING);
    assert.equal((await nodes.change('n4', REMOVED)).$case, 'retry', 'not all know');
    for (const name of ['n1', 'n2', 'n3', 'n4']) await nodes.report(name, { placedAt: 1_000_000 });
    await nodes.refused(/3 blocks \(3072 bytes\) have too few other copies/, 'n4', REMOVED);
    const drain = { blocksLeft: 0, bytesLeft: 0, done: true };
    await nodes.report('n4', { placedAt: 1_000_000, drain });
    assert.equal((await nodes.change('n4', REMOVED)).$case, 'retry', 'they have been written a moment ago');
    nodes.copies.set('n3', new Set(ids));
    assert.deepEqual(await nodes.done('n4', REMOVED), {
      lostBlocks: 0,
      lostBytes: 0,
      thinBlocks: 0,
      thinBytes: 0,
    });
    const observer = nodes.fixture.stub();
    await observer.observe();
    const { blockNodes } = await observer.ask({ $case: 'topology', value: {} }, 'topology');
    assert.deepEqual(
      blockNodes.map(({ info }) => info?.id),
      ['n1', 'n2', 'n3'],
    );
    // It is told itself when it reports again, and does not come back by that.
    const told = await nodes.report('n4');
    assert.equal(told.find(({ info }) => info?.id === 'n4')?.mode, REMOVED);
    await nodes.refused(/n4 was removed.*ringfs node add n4/, 'n4', DRAINING);
    await nodes.done('n4', UNSPECIFIED);
  });

  it('says how many blocks would be lost with a dead node, and loses them only when forced', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    const ids = await nodes.writeBlocks();
    nodes.copies.set('n1', new Set(ids.slice(0, 1)));
    nodes.copies.set('n4', new Set(ids));
    await nodes.fixture.timers.advance(BLOCK_NODE_ALIVE_MS + 1);
    for (const name of ['n1', 'n2', 'n3']) await nodes.report(name);
    await nodes.refused(/2 blocks \(2048 bytes\) that files refer to would be lost.*--force/, 'n4', REMOVED);
    const cost = await nodes.done('n4', REMOVED, true);
    assert.deepEqual(cost, { lostBlocks: 2, lostBytes: 2048, thinBlocks: 1, thinBytes: 1024 });
  });

  it('counts no blocks that files do not refer to any more', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    await nodes.writeBlocks();
    await (await nodes.fixture.client()).commit([unlink(1, 'f')]);
    await nodes.fixture.timers.advance(30_000);
    for (const name of ['n1', 'n2', 'n3']) await nodes.report(name);
    const cost = await nodes.done('n4', REMOVED);
    assert.deepEqual([cost?.lostBlocks, cost?.thinBlocks], [0, 0]);
  });

  it('cannot say what is lost while another node does not answer', async () => {
    const nodes = await Nodes.start('n1', 'n2', 'n3', 'n4');
    await nodes.writeBlocks();
    nodes.silent.add('n2:2');
    await nodes.done('n4', DRAINING);
    for (const name of ['n1', 'n2', 'n3', 'n4']) await nodes.report(name, { placedAt: 1_000_000 });
    const result = await nodes.change('n4', REMOVED);
    assert.ok(result.$case === 'retry' && /n2:2: refused/.test(result.value), JSON.stringify(result));
  });

  it('names the leader when it is not this server', async () => {
    const nodes = await Nodes.start('n1');
    nodes.fixture.replica.becomeFollower('s2');
    assert.deepEqual(await nodes.change('n1', DRAINING), {
      $case: 'notLeader',
      value: { id: 's2', address: 's2:1' },
    });
  });

  it('as a command: refuses strangers and unknown modes, and the same again changes nothing', async () => {
    const nodes = await Nodes.start('n1');
    const { machine, state } = nodes.fixture.replica;
    const set = (id: string, mode: BlockNodeMode) =>
      machine.apply({ body: { $case: 'setBlockNodeMode', value: { id, mode } } });
    assert.equal(set('n9', DRAINING).result.body?.$case, 'rejected');
    assert.equal(set('n\u00fc', DRAINING).result.body?.$case, 'rejected');
    assert.equal(set('n1', 7 as BlockNodeMode).result.body?.$case, 'rejected');
    assert.equal(set('n1', DRAINING).result.body?.$case, 'ok');
    const [before] = await listBlockNodes(state);
    assert.equal(set('n1', DRAINING).duplicate, true);
    assert.deepEqual((await listBlockNodes(state))[0], before);
  });
});
