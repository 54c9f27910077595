import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlockId } from '../../../src/base/ids.ts';
import {
  NODE_DOWN_MS,
  NODE_SILENCE_MS,
  PREFETCHES_IN_FLIGHT_MAX,
  PUT_BYTES_IN_FLIGHT_MAX,
} from '../../../src/base/limits.ts';
import { seededRandom } from '../../../src/base/random.ts';
import { BlockClient, type BlockClientOptions } from '../../../src/client/block-client.ts';
import { blockIdOf, blockKey } from '../../../src/client/block-id.ts';
import { BlockErrorCode } from '../../../src/gen/ringfs/v1/block.ts';
import { blockError, FakeRing } from '../../support/fake-ring.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const NODES = ['n1:1', 'n2:1', 'n3:1', 'n4:1', 'n5:1'];
const hang = new Promise<never>(() => undefined);
const isError = (code: string) => (e: unknown) => (e as { code?: string }).code === code;
const text = (s: string): Uint8Array => Buffer.from(s);

interface Rig {
  readonly timers: VirtualTimers;
  readonly ring: FakeRing;
  readonly client: BlockClient;
  readonly logger: RecordingLogger;
}

function rig(options: Partial<BlockClientOptions> = {}, living: readonly string[] = NODES): Rig {
  const timers = new VirtualTimers();
  const ring = new FakeRing(timers, NODES);
  const logger = new RecordingLogger();
  const client = new BlockClient(
    {
      connector: ring.network.connector('client'),
      timers,
      random: seededRandom(3),
      logger,
      nodes: async () => [...ring.nodes.keys()].filter((address) => living.includes(address)),
      everyNode: async () => [...ring.nodes.keys()],
      seenIndex: () => 7,
    },
    { clientName: 'test', cacheBytes: 0, ...options },
  );
  return { timers, ring, client, logger };
}

describe('put', () => {
  it('stores at the first owner, which passes it on', async () => {
    const { timers, ring, client } = rig();
    const id = await timers.resolve(client.put(text('hello')));
    assert.equal(id, blockIdOf(text('hello')).id);
    const owners = ring.owners(blockKey(id));
    assert.deepEqual(ring.asked('put'), [owners[0]]);
    for (const owner of owners) assert.ok(ring.block(owner, blockKey(id)));
    await client.close();
  });

  it('asks for the owners of a range once', async () => {
    const { timers, ring, client } = rig();
    for (let i = 0; i < 100; i++) await timers.resolve(client.put(text(`block ${i}`)));
    assert.ok(client.stats().ringLookups <= NODES.length, `${client.stats().ringLookups} lookups`);
    assert.equal(client.stats().ringRanges, NODES.length);
    for (const [i, address] of ring.asked('put').entries()) {
      assert.equal(address, ring.owners(blockIdOf(text(`block ${i}`)).key)[0]);
    }
    await client.close();
  });

  it('goes to the next owner when the first is down, and remembers that for a while', async () => {
    const { timers, ring, client } = rig();
    const { key } = blockIdOf(text('x'));
    const [first, second] = ring.owners(key);
    await timers.resolve(client.put(text('x')));
    ring.network.kill(first!);
    ring.requests.length = 0;
    await timers.resolve(client.put(text('x')));
    await timers.resolve(client.put(text('x')));
    assert.deepEqual(ring.asked('put'), [second, second]);
    ring.listen(first!);
    await timers.advance(NODE_DOWN_MS);
    await timers.resolve(client.put(text('x')));
    assert.equal(ring.asked('put').at(-1), first);
    await client.close();
  });

  it('learns the ring anew when a node says that it is no owner', async () => {
    const { timers, ring, client } = rig();
    const { key } = blockIdOf(text('x'));
    await timers.resolve(client.put(text('x')));
    const [first] = ring.owners(key);
    ring.leave(first!);
    const id = await timers.resolve(client.put(text('x')));
    for (const owner of ring.owners(blockKey(id))) assert.ok(ring.block(owner, key));
    assert.equal(client.stats().putRetries, 1);
    await client.close();
  });

  it('reports ENOSPC only when every owner is full', async () => {
    const { timers, ring, client } = rig();
    const owners = ring.owners(blockIdOf(text('x')).key);
    const full = new Set([owners[0]]);
    ring.script = (body, address) =>
      body.$case === 'put' && full.has(address) ? blockError(BlockErrorCode.NO_SPACE) : undefined;
    await timers.resolve(client.put(text('x')));
    for (const owner of owners) full.add(owner);
    await assert.rejects(timers.resolve(client.put(text('x'))), isError('ENOSPC'));
    await client.close();
  });

  it('tries again without a quorum, until its time is over', async () => {
    const { timers, ring, client } = rig({ operationTimeoutMs: 3_000 });
    let quorum = false;
    ring.script = (body) =>
      body.$case === 'put' && !quorum ? blockError(BlockErrorCode.NO_QUORUM) : undefined;
    const put = client.put(text('x'));
    await timers.advance(1_000);
    quorum = true;
    await timers.resolve(put);
    quorum = false;
    const started = timers.nowMs();
    await assert.rejects(timers.resolve(client.put(text('x'))), isError('ETIMEDOUT'));
    assert.equal(timers.nowMs() - started, 3_000);
    await client.close();
  });

  it('can be aborted', async () => {
    const { timers, ring, client } = rig();
    ring.script = (body) => (body.$case === 'put' ? hang : undefined);
    const abort = new AbortController();
    const put = client.put(text('x'), abort.signal);
    await timers.advance(50);
    abort.abort();
    await assert.rejects(timers.resolve(put), isError('EINTR'));
    await client.close();
  });

  it('goes elsewhere when a node stands still, and comes back when it lives again', async () => {
    const { timers, ring, client, logger } = rig();
    const { key } = blockIdOf(text('x'));
    const [first, second] = ring.owners(key);
    await timers.resolve(client.put(text('x')));
    let still = true;
    ring.script = (_, address) => (still && address === first ? hang : undefined);
    ring.requests.length = 0;
    const started = timers.nowMs();
    await timers.resolve(client.put(text('x')));
    assert.ok(timers.nowMs() - started < NODE_SILENCE_MS + 1_500, `${timers.nowMs() - started} ms`);
    assert.equal(ring.asked('put').at(-1), second);
    assert.ok(logger.lines.some((l) => l.message === 'a block node does not answer'));
    assert.equal(client.stats().nodesStill, 1);
    await timers.advance(5 * NODE_DOWN_MS);
    const again = timers.nowMs();
    await timers.resolve(client.put(text('x')));
    assert.ok(timers.nowMs() - again < 100, 'it was tried first again');
    still = false;
    await timers.advance(NODE_DOWN_MS + 1_500);
    await timers.resolve(client.put(text('x')));
    assert.equal(ring.asked('put').at(-1), first);
    await client.close();
  });

  it('waits for a node that is slow', async () => {
    const { timers, ring, client, logger } = rig();
    ring.script = (body) =>
      body.$case === 'put'
        ? timers.sleep(8_000).then(() => ({ $case: 'put', value: { durableCopies: 2, existed: false } }))
        : undefined;
    const started = timers.nowMs();
    await timers.resolve(client.put(text('x')));
    assert.equal(Math.round((timers.nowMs() - started) / 1_000), 8);
    assert.equal(ring.asked('put').length, 1);
    assert.ok(!logger.lines.some((l) => l.message === 'a block node does not answer'));
    await client.close();
  });

  it('bounds the bytes under way', async () => {
    const { timers, ring, client } = rig();
    let underway = 0;
    let most = 0;
    const size = 4 * 1024 * 1024;
    const max = PUT_BYTES_IN_FLIGHT_MAX / size;
    ring.script = (body) => {
      if (body.$case !== 'put') return undefined;
      most = Math.max(most, ++underway);
      return timers.sleep(10).then(() => {
        underway--;
        return { $case: 'put' as const, value: { durableCopies: 2, existed: false } };
      });
    };
    const puts = Array.from({ length: max + 4 }, (_, i) => client.put(new Uint8Array(size).fill(i)));
    await timers.resolve(Promise.all(puts));
    assert.equal(most, max);
    await client.close();
  });

  it('refuses nodes of another cluster', async () => {
    const { timers, client, logger } = rig({ clusterId: 'other', operationTimeoutMs: 1_000 });
    await assert.rejects(timers.resolve(client.put(text('x'))), isError('EIO'));
    assert.ok(logger.lines.some((l) => l.message === 'block node belongs to another cluster'));
    await client.close();
  });
});

describe('get', () => {
  const stored = async (options: Partial<BlockClientOptions> = {}) => {
    const r = rig(options);
    const id = await r.timers.resolve(r.client.put(text('content')));
    const key = blockKey(id);
    r.ring.requests.length = 0;
    return { ...r, id, key, owners: r.ring.owners(key) };
  };

  it('returns the content and caches it', async () => {
    const { timers, ring, client, id } = await stored({ cacheBytes: 1 << 20 });
    await timers.resolve(client.get(id));
    assert.equal(ring.asked('get').length, 0, 'a small block is cached when it is written');
    const other = blockIdOf(text('other'));
    for (const owner of ring.owners(other.key)) ring.store(owner, other.key, text('other'));
    const both = Promise.all([client.get(other.id), client.get(other.id)]);
    const [data] = await timers.resolve(both);
    assert.equal(Buffer.from(data!).toString(), 'other');
    await timers.resolve(client.get(other.id));
    assert.equal(ring.asked('get').length, 1);
    await client.close();
  });

  it('spreads reads over the owners', async () => {
    const { timers, ring, client } = rig();
    for (let i = 0; i < 60; i++) {
      const id = await timers.resolve(client.put(text(`${i}`)));
      await timers.resolve(client.get(id));
    }
    const perRank = [0, 0, 0];
    for (const { address, body } of ring.requests) {
      if (body.$case === 'get') perRank[ring.owners(body.value.blockId).indexOf(address)]!++;
    }
    for (const count of perRank) assert.ok(count >= 10, `${perRank}`);
    await client.close();
  });

  it('reads past a corrupt copy, logs it and repairs it', async () => {
    const { timers, ring, client, logger, id, key, owners } = await stored();
    let damaged: string | undefined;
    ring.script = (body, address) => {
      if (body.$case === 'get' && damaged === undefined) {
        damaged = address;
        ring.store(address, key, text('damaged'));
      }
      return undefined;
    };
    const data = await timers.resolve(client.get(id));
    assert.equal(Buffer.from(data).toString(), 'content');
    assert.equal(client.stats().copiesCorrupt, 1);
    await timers.until(() => client.stats().repairs === 1, 1_000, 'repair');
    for (const owner of owners) assert.equal(Buffer.from(ring.block(owner, key)!).toString(), 'content');
    const puts = ring.requests.filter((r) => r.body.$case === 'put');
    assert.deepEqual(
      puts.map((p) => [p.address, p.body.$case === 'put' && p.body.value.replicate]),
      [[damaged, false]],
    );
    assert.equal(logger.lines.filter((l) => l.level === 'error').length, 1);
    await client.close();
  });

  for (const reason of ['missing', 'corrupt'] as const) {
    it(`repairs a copy that its node calls ${reason}`, async () => {
      const { timers, ring, client, id, key, owners } = await stored();
      let bad: string | undefined;
      ring.script = (body, address) => {
        if (body.$case !== 'get' || bad !== undefined) return undefined;
        bad = address;
        ring.remove(address, key);
        return reason === 'corrupt' ? blockError(BlockErrorCode.CORRUPT) : undefined;
      };
      await timers.resolve(client.get(id));
      await timers.until(() => client.stats().repairs === 1, 1_000, 'repair');
      for (const owner of owners) assert.ok(ring.block(owner, key));
      assert.equal(client.stats().copiesMissing, 1);
      await client.close();
    });
  }

  it('repairs nothing at a node that is no owner any more, and does not ask it again', async () => {
    const { timers, ring, client } = rig();
    // A block that is read first at the last of its owners, which then is one no more.
    let former: string | undefined;
    let id = blockIdOf(text('')).id;
    for (let i = 0; former === undefined; i++) {
      id = await timers.resolve(client.put(text(`content ${i}`)));
      ring.requests.length = 0;
      await timers.resolve(client.get(id));
      former = ring.asked('get').find((address) => address === ring.owners(blockKey(id))[2]);
    }
    const key = blockKey(id);
    const data = ring.block(former, key)!;
    for (let i = 0; ring.owners(key).includes(former); i++) ring.join(`joined${i}:1`);
    for (const owner of ring.owners(key)) ring.store(owner, key, data);
    ring.remove(former, key);
    for (let i = 0; i < 5; i++) {
      await timers.resolve(client.get(id));
      await timers.advance(1_000);
    }
    const { repairs, copiesMissing } = client.stats();
    assert.deepEqual([repairs, copiesMissing], [0, 1]);
    assert.equal(ring.block(former, key), undefined);
    await client.close();
  });

  it('asks a second owner when the first is slow', async () => {
    const { timers, ring, client, id } = await stored({ hedgeDelayMs: 50 });
    let first: string | undefined;
    ring.script = (body, address) => {
      if (body.$case !== 'get') return undefined;
      first ??= address;
      return address === first ? hang : undefined;
    };
    const started = timers.nowMs();
    await timers.resolve(client.get(id));
    assert.ok(timers.nowMs() - started < 100);
    assert.equal(client.stats().hedges, 1);
    await client.close();
  });

  it('survives the loss of all but one replica', async () => {
    const { timers, ring, client, id, owners } = await stored();
    ring.network.kill(owners[0]!);
    ring.network.kill(owners[1]!);
    assert.equal(Buffer.from(await timers.resolve(client.get(id))).toString(), 'content');
    await client.close();
  });

  it('finds a block that its new owners do not have yet', async () => {
    const { timers, ring, client, id, key } = await stored();
    const everyone = [...ring.nodes.keys()];
    const holder = everyone.find((n) => !ring.owners(key).includes(n))!;
    for (const node of everyone) ring.remove(node, key);
    ring.store(holder, key, text('content'));
    assert.equal(Buffer.from(await timers.resolve(client.get(id))).toString(), 'content');
    await timers.until(() => client.stats().repairs === 3, 1_000, 'repairs');
    for (const owner of ring.owners(key)) assert.ok(ring.block(owner, key));
    await client.close();
  });

  it('fails with EIO when nobody has it, ETIMEDOUT when someone who may is away', async () => {
    const { timers, ring, client, id, key, owners } = await stored({ operationTimeoutMs: 2_000 });
    for (const node of ring.nodes.keys()) ring.remove(node, key);
    const started = timers.nowMs();
    await assert.rejects(timers.resolve(client.get(id)), isError('EIO'));
    assert.ok(timers.nowMs() - started < 1_000);
    ring.network.kill(owners[1]!);
    await assert.rejects(timers.resolve(client.get(id)), isError('ETIMEDOUT'));
    await client.close();
  });

  it('asks a node that the meta cluster does not hear of before a block is given up', async () => {
    const silent = NODES[3]!;
    const living = NODES.filter((address) => address !== silent);
    const { timers, ring, client } = rig({ operationTimeoutMs: 2_000 }, living);
    const { id, key } = blockIdOf(text('content'));
    ring.store(silent, key, text('content'));
    // The ring has lost it as well.
    ring.script = (body) =>
      body.$case === 'findOwners'
        ? Promise.resolve({
            $case: 'owners' as const,
            value: {
              done: true,
              owners: living
                .slice(0, 3)
                .map((address) => ({ nodeId: address, address, position: new Uint8Array(32) })),
              nextHop: undefined,
              rangeStart: new Uint8Array(),
              rangeEnd: new Uint8Array(),
            },
          })
        : undefined;
    assert.equal(Buffer.from(await timers.resolve(client.get(id))).toString(), 'content');
    ring.network.kill(silent);
    await assert.rejects(timers.resolve(client.get(id)), isError('ETIMEDOUT'));
    await client.close();
  });

  it('leaves others their fetch when one gives up', async () => {
    const { timers, ring, client, id } = await stored({ hedgeDelayMs: 10_000 });
    let answered = false;
    ring.script = (body) => {
      if (body.$case !== 'get' || answered) return undefined;
      answered = true;
      return timers.sleep(100).then(() => ({ $case: 'get' as const, value: { data: text('content') } }));
    };
    const abort = new AbortController();
    const given = client.get(id, abort.signal);
    const kept = client.get(id);
    await timers.advance(20);
    abort.abort();
    await assert.rejects(timers.resolve(given), isError('EINTR'));
    assert.equal(Buffer.from(await timers.resolve(kept)).toString(), 'content');
    assert.equal(ring.asked('get').length, 1);
    await client.close();
  });

  it('works from the nodes it knows while the meta cluster is away', async () => {
    const timers = new VirtualTimers();
    const ring = new FakeRing(timers, NODES);
    let away = false;
    const client = new BlockClient(
      {
        connector: ring.network.connector('client'),
        timers,
        random: seededRandom(3),
        logger: new RecordingLogger(),
        nodes: async () => {
          if (away) throw new Error('no leader');
          return NODES;
        },
        seenIndex: () => 7,
      },
      { clientName: 'test', cacheBytes: 0 },
    );
    await timers.resolve(client.put(text('a')));
    away = true;
    await timers.advance(60_000);
    for (let i = 0; i < 20; i++) await timers.resolve(client.put(text(`b${i}`)));
    await client.close();
  });
});

describe('prefetch', () => {
  it('fills the cache, and drops what is over the budget', async () => {
    const { timers, ring, client } = rig({ cacheBytes: 1 << 20 });
    const ids: BlockId[] = [];
    for (let i = 0; i < PREFETCHES_IN_FLIGHT_MAX + 5; i++) {
      const { id, key } = blockIdOf(text(`p${i}`));
      for (const owner of ring.owners(key)) ring.store(owner, key, text(`p${i}`));
      ids.push(id);
    }
    for (const id of ids) client.prefetch(id);
    client.prefetch(ids[0]!);
    assert.equal(client.stats().prefetchesDropped, 5);
    await timers.advance(100);
    assert.equal(ring.asked('get').length, PREFETCHES_IN_FLIGHT_MAX);
    await timers.resolve(client.get(ids[0]!));
    assert.equal(ring.asked('get').length, PREFETCHES_IN_FLIGHT_MAX);
    await client.close();
  });

  it('never throws', async () => {
    const { timers, client } = rig({ operationTimeoutMs: 500 });
    client.prefetch(blockIdOf(text('nowhere')).id);
    await timers.advance(5_000);
    await client.close();
    client.prefetch(blockIdOf(text('closed')).id);
  });
});
