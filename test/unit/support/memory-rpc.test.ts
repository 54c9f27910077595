import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BlockReply, BlockRequest } from '../../../src/gen/ringfs/v1/block.ts';
import type { RpcAcceptor } from '../../../src/ports/rpc.ts';
import { MemoryNetwork } from '../../support/memory-rpc.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const echo: RpcAcceptor<BlockRequest, BlockReply> = (peer) => ({
  async onRequest(body) {
    if (body.$case === 'get') peer.push({ $case: 'has', value: { present: [] } });
    if (body.$case === 'hello')
      return { $case: 'hello', value: { clusterId: body.value.clusterId, nodeId: 'n' } };
    return { $case: 'get', value: { data: Uint8Array.of(7) } };
  },
  onClose() {},
});

const HELLO = { $case: 'hello', value: { clusterId: 'c', from: 'me' } } as const;

describe('memory rpc', () => {
  it('answers calls, and pushes before the reply', async () => {
    const timers = new VirtualTimers();
    const net = new MemoryNetwork<BlockRequest, BlockReply>({ timers }, { latencyMs: () => 2 });
    net.listen('a:1', echo);
    const seen: string[] = [];
    const connection = await timers.resolve(
      net.connector('b:1').connect('a:1', { onPush: (body) => seen.push(`push ${body.$case}`) }),
    );
    const reply = await timers.resolve(
      connection.call({ $case: 'get', value: { blockId: new Uint8Array(32) } }),
    );
    seen.push(reply.$case);
    assert.deepEqual(seen, ['push has', 'get']);
    assert.equal(timers.nowMs(), 8);
  });

  it('refuses when nobody listens, and breaks pending calls when the peer dies', async () => {
    const timers = new VirtualTimers();
    const net = new MemoryNetwork<BlockRequest, BlockReply>({ timers });
    await assert.rejects(timers.resolve(net.connector('b:1').connect('a:1')), { code: 'unavailable' });
    net.listen('a:1', () => ({ onRequest: () => new Promise(() => {}), onClose() {} }));
    const connection = await timers.resolve(net.connector('b:1').connect('a:1'));
    const call = connection.call(HELLO);
    net.kill('a:1');
    await assert.rejects(timers.resolve(call), { code: 'unavailable' });
    assert.equal(connection.open, false);
  });

  it('holds messages back in a partition and delivers them in order after it', async () => {
    const timers = new VirtualTimers();
    const net = new MemoryNetwork<BlockRequest, BlockReply>({ timers });
    net.listen('a:1', echo);
    const connection = await timers.resolve(net.connector('b:1').connect('a:1'));
    net.partition(['a:1'], ['b:1']);
    const call = connection.call(HELLO);
    await timers.advance(1000);
    net.heal();
    assert.equal((await timers.resolve(call)).$case, 'hello');
    net.partition(['a:1'], ['b:1']);
    await assert.rejects(timers.resolve(connection.call(HELLO)), { code: 'unavailable' });
  });
});
