import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import type { ReplyBody, RequestBody } from '../../../src/meta/context.ts';
import { Relay } from '../../../src/meta/relay.ts';
import { type RpcConnection, type RpcConnectOptions, RpcError } from '../../../src/ports/rpc.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const HELLO = {
  session: 7,
  nonce: new Uint8Array(16),
  client: 'c',
  clusterId: '',
  observer: false,
  relay: true,
};
const WELCOME: ReplyBody = {
  $case: 'hello',
  value: { session: 7, clusterId: 'x', time: undefined, sessionTtlMs: 1, leaseTtlMs: 1, replicas: 3 },
};
const GET: RequestBody = { $case: 'getAttr', value: { ino: 1 } };
const RECALL = { $case: 'recall', value: { recallId: 1, inodes: [] } } as ReplyBody;

interface Call {
  readonly body: RequestBody;
  answer(reply: ReplyBody): void;
  fail(error: RpcError): void;
}

/** A relay between a client and a leader that the test plays. */
function setUp() {
  const timers = new VirtualTimers();
  const calls: Call[] = [];
  const sent: RequestBody[] = [];
  const told: string[] = [];
  let options: RpcConnectOptions<MetaReply> = {};
  let closed = false;
  const upstream: RpcConnection<MetaRequest, MetaReply> = {
    open: true,
    call: (body) =>
      new Promise((resolve, reject) => {
        calls.push({ body, answer: resolve, fail: reject });
      }),
    send: (body) => void sent.push(body),
    close: () => {
      closed = true;
    },
  };
  const relay = new Relay({
    connector: {
      connect: async (_address, given = {}) => {
        options = given;
        return upstream;
      },
    },
    timers,
    peer: { remote: 'c', push: (body) => void told.push(`push ${body.$case}`), close: () => undefined },
    onClose: () => void told.push('closed'),
  });
  const open = async (): Promise<ReplyBody> => {
    const opening = relay.open(HELLO, 's1:1');
    await Promise.resolve();
    await Promise.resolve();
    calls[0]!.answer(WELCOME);
    return opening;
  };
  return {
    timers,
    relay,
    open,
    calls,
    sent,
    told,
    push: () => options.onPush!(RECALL),
    drop: () => options.onClose!(new RpcError('unavailable', 'gone')),
    isClosed: () => closed,
  };
}

describe('a relay', () => {
  it('passes the hello on as one that goes no further, and says where to', async () => {
    const { open, calls } = setUp();
    const reply = await open();
    assert.deepEqual(calls[0]?.body, { $case: 'hello', value: { ...HELLO, relay: false } });
    assert.ok(reply.$case === 'hello' && reply.value.relayedTo === 's1:1');
  });

  it('never lets a push overtake a reply that came before it', async () => {
    const { open, relay, calls, told, push, timers } = setUp();
    await open();
    const reply = relay.request(GET).then(() => told.push('reply'));
    // Both in one piece of the stream.
    calls[1]!.answer({ $case: 'getAttr', value: { attr: undefined, leased: true } });
    push();
    await timers.advance(1);
    await reply;
    assert.deepEqual(told, ['reply', 'push recall']);
  });

  it('sends on what has no answer, and tells the client when the leader is gone', async () => {
    const { open, relay, sent, told, drop, timers } = setUp();
    await open();
    const acknowledgement: RequestBody = { $case: 'recallAck', value: { recallId: 1 } };
    assert.equal(await relay.request(acknowledgement), undefined);
    assert.deepEqual(sent, [acknowledgement]);
    drop();
    await timers.advance(1);
    assert.deepEqual(told, ['closed']);
  });

  it('refuses a request when too many are under way, or when the leader does not know it', async () => {
    const { open, relay, calls } = setUp();
    await open();
    for (const [code, errno] of [
      ['overloaded', 'EAGAIN'],
      ['protocol', 'EPROTO'],
    ] as const) {
      const request = relay.request(GET);
      calls.at(-1)!.fail(new RpcError(code, 'no'));
      await assert.rejects(request, (error: { code?: string }) => error.code === errno);
    }
  });

  it('ends its stream to the leader with the client, also one that is being opened', async () => {
    const { relay, isClosed } = setUp();
    const opening = relay.open(HELLO, 's1:1');
    relay.close();
    await assert.rejects(opening, RpcError);
    assert.equal(isClosed(), true);
  });
});
