import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import type { BlockReply, BlockRequest } from '../../src/gen/ringfs/v1/block.ts';
import type { RpcConnector, RpcError, RpcPeer } from '../../src/ports/rpc.ts';
import {
  type BlockAcceptor,
  copiesOf,
  echo,
  numberOf,
  type Reply,
  type Request,
  reply,
  request,
  withCode,
} from '../support/block-rpc.ts';
import { Events } from '../support/events.ts';

export interface RpcFixture {
  readonly connector: RpcConnector<BlockRequest, BlockReply>;
  /** Starts a server. Returns its address. */
  listen(acceptor: BlockAcceptor): Promise<string>;
  /** The server's process dies. */
  kill(address: string): void;
  close(): void;
}

const data = (bytes: Uint8Array): Request => ({
  $case: 'put',
  value: { blockId: new Uint8Array(32), data: bytes, replicate: false },
});

/** A server whose test sees its peers and decides when and what each request is answered. */
class Served {
  readonly peers: RpcPeer<BlockReply>[] = [];
  readonly requests = new Events<{ body: Request; answer: (body: Reply | undefined) => void }>();
  readonly closed = new Events<number>();

  readonly acceptor: BlockAcceptor = (peer) => {
    const index = this.peers.push(peer) - 1;
    return {
      onRequest: (body) =>
        new Promise<Reply | undefined>((answer) => {
          this.requests.add({ body, answer });
        }),
      onClose: () => this.closed.add(index),
    };
  };
}

/** What every transport of stream services has to do. */
export function rpcContract(name: string, makeFixture: () => Promise<RpcFixture>): void {
  describe(`rpc contract: ${name}`, () => {
    let fixture: RpcFixture;
    let alive: NodeJS.Timeout | undefined; // the timers of the parts keep no process alive
    before(() => {
      alive = setInterval(() => {}, 60_000);
    });
    after(() => clearInterval(alive));
    beforeEach(async () => {
      fixture = await makeFixture();
    });
    afterEach(() => fixture.close());

    describe('calls', () => callsContract(() => fixture));
    describe('pushes and one-way messages', () => pushContract(() => fixture));
    describe('the end of a stream', () => closeContract(() => fixture));
    describe('connecting', () => connectContract(() => fixture));
  });
}

function callsContract(fixture: () => RpcFixture): void {
  it('matches replies with calls, whatever their order', async () => {
    const served = new Served();
    const connection = await fixture().connector.connect(await fixture().listen(served.acceptor));
    const calls = Array.from({ length: 20 }, (_, n) => connection.call(request(n)));
    const requests = await served.requests.atLeast(20);
    for (const { body, answer } of [...requests].reverse()) answer(reply(numberOf(body)));
    assert.deepEqual(
      (await Promise.all(calls)).map(copiesOf),
      calls.map((_, n) => n),
    );
  });

  it('starts the requests of a stream in the order sent, before earlier ones are answered', async () => {
    const served = new Served();
    const connection = await fixture().connector.connect(await fixture().listen(served.acceptor));
    const calls = Array.from({ length: 100 }, (_, n) => connection.call(request(n)));
    const requests = await served.requests.atLeast(100);
    assert.deepEqual(
      requests.map(({ body }) => numberOf(body)),
      calls.map((_, n) => n),
    );
    for (const { answer } of requests) answer(reply(0));
    await Promise.all(calls);
  });

  it('keeps streams apart', async () => {
    const served = new Served();
    const address = await fixture().listen(served.acceptor);
    const one = await fixture().connector.connect(address);
    const two = await fixture().connector.connect(address);
    const calls = [one.call(request(1)), two.call(request(2))];
    for (const { body, answer } of await served.requests.atLeast(2)) answer(reply(numberOf(body)));
    assert.deepEqual((await Promise.all(calls)).map(copiesOf), [1, 2]);
    one.close();
    await served.closed.atLeast(1);
    assert.equal(two.open, true);
  });

  it('carries 4 MiB there and back', async () => {
    const address = await fixture().listen(() => ({
      onRequest: (body) => {
        assert.ok(body.$case === 'put');
        return Promise.resolve({ $case: 'get', value: { data: body.value.data } } as const);
      },
      onClose: () => {},
    }));
    const connection = await fixture().connector.connect(address);
    const block = Buffer.alloc(4 << 20, '0123456789abcdef!');
    const back = await connection.call(data(block));
    assert.ok(back.$case === 'get' && block.equals(back.value.data));
  });

  it('rejects with `deadline` when there is no answer in time, and drops the answer that comes later', async () => {
    const served = new Served();
    const connection = await fixture().connector.connect(await fixture().listen(served.acceptor));
    await assert.rejects(connection.call(request(1), { timeoutMs: 10 }), withCode('deadline'));
    const second = connection.call(request(2));
    const [late, inTime] = await served.requests.atLeast(2);
    late?.answer(reply(1));
    inTime?.answer(reply(2));
    assert.equal(copiesOf(await second), 2);
  });

  it('rejects with `cancelled` when aborted before or while waiting', async () => {
    const served = new Served();
    const connection = await fixture().connector.connect(await fixture().listen(served.acceptor));
    const controller = new AbortController();
    const call = connection.call(request(1), { signal: controller.signal });
    await served.requests.atLeast(1);
    controller.abort();
    await assert.rejects(call, withCode('cancelled'));
    await assert.rejects(connection.call(request(2), { signal: controller.signal }), withCode('cancelled'));
    assert.equal(connection.open, true);
    const third = connection.call(request(3));
    const requests = await served.requests.atLeast(2);
    assert.equal(requests[1] && numberOf(requests[1].body), 3);
    requests[1]?.answer(reply(3));
    assert.equal(copiesOf(await third), 3);
  });

  it('sends nothing for an undefined reply', async () => {
    const served = new Served();
    const pushes = new Events<Reply>();
    const address = await fixture().listen(served.acceptor);
    const connection = await fixture().connector.connect(address, { onPush: pushes.add });
    const silent = connection.call(request(1), { timeoutMs: 200 });
    const answered = connection.call(request(2));
    const [first, second] = await served.requests.atLeast(2);
    first?.answer(undefined);
    second?.answer(reply(2));
    assert.equal(copiesOf(await answered), 2);
    await assert.rejects(silent, withCode('deadline'));
    assert.deepEqual(pushes.seen, []);
  });
}

function pushContract(fixture: () => RpcFixture): void {
  it('delivers pushes and replies in the order sent', async () => {
    const served = new Served();
    const order: string[] = [];
    const address = await fixture().listen(served.acceptor);
    const pushes = new Events<Reply>();
    const connection = await fixture().connector.connect(address, {
      onPush: (body) => {
        order.push(`push ${copiesOf(body)}`);
        pushes.add(body);
      },
    });
    const calls = Array.from({ length: 50 }, (_, n) =>
      connection.call(request(n)).then((body) => order.push(`reply ${copiesOf(body)}`)),
    );
    const requests = await served.requests.atLeast(50);
    for (const { body, answer } of requests) {
      served.peers[0]?.push(reply(numberOf(body)));
      answer(reply(numberOf(body)));
      await Promise.resolve(); // the answer goes out
    }
    await Promise.all(calls);
    await pushes.atLeast(50);
    const numbers = (kind: string): string[] => order.filter((entry) => entry.startsWith(kind));
    const expected = (kind: string): string[] => calls.map((_, n) => `${kind} ${n}`);
    assert.deepEqual(numbers('push'), expected('push'));
    assert.deepEqual(numbers('reply'), expected('reply'));
    for (let n = 0; n < 50; n++)
      assert.ok(order.indexOf(`push ${n}`) < order.indexOf(`reply ${n}`), `push ${n} was overtaken`);
  });

  it('takes one-way messages, and answers none of them', async () => {
    const served = new Served();
    const pushes = new Events<Reply>();
    const address = await fixture().listen(served.acceptor);
    const connection = await fixture().connector.connect(address, { onPush: pushes.add });
    connection.send(request(7));
    const call = connection.call(request(8));
    const [oneWay, second] = await served.requests.atLeast(2);
    assert.equal(oneWay && numberOf(oneWay.body), 7);
    oneWay?.answer(reply(7));
    second?.answer(reply(8));
    assert.equal(copiesOf(await call), 8);
    served.peers[0]?.push(reply(9));
    assert.deepEqual((await pushes.atLeast(1)).map(copiesOf), [9]);
  });
}

function closeContract(fixture: () => RpcFixture): void {
  it('rejects pending calls with `unavailable` when the server closes, and says so once', async () => {
    const served = new Served();
    const reasons = new Events<RpcError>();
    const address = await fixture().listen(served.acceptor);
    const connection = await fixture().connector.connect(address, { onClose: reasons.add });
    const calls = [connection.call(request(1)), connection.call(request(2))];
    const settled = Promise.allSettled(calls);
    await served.requests.atLeast(2);
    served.peers[0]?.close();
    served.peers[0]?.close();
    for (const outcome of await settled)
      assert.ok(outcome.status === 'rejected' && withCode('unavailable')(outcome.reason));
    const [reason] = await reasons.atLeast(1);
    assert.equal(reason?.code, 'unavailable');
    assert.equal(connection.open, false);
    await assert.rejects(connection.call(request(3)), withCode('unavailable'));
    connection.send(request(4));
    connection.close();
    for (const { answer } of served.requests.seen) answer(reply(0)); // nobody is there any more
    await closesOneMore(fixture(), served);
    assert.deepEqual(served.closed.seen, [0, 1]);
    assert.equal(reasons.seen.length, 1);
  });

  it('tells the handler once that the client closed', async () => {
    const served = new Served();
    const reasons = new Events<RpcError>();
    const address = await fixture().listen(served.acceptor);
    const connection = await fixture().connector.connect(address, { onClose: reasons.add });
    const call = connection.call(request(1));
    const rejected = assert.rejects(call, withCode('unavailable'));
    const [pending] = await served.requests.atLeast(1);
    connection.close();
    connection.close();
    await rejected;
    await served.closed.atLeast(1);
    pending?.answer(reply(1));
    served.peers[0]?.push(reply(2));
    served.peers[0]?.close();
    await closesOneMore(fixture(), served);
    assert.deepEqual(served.closed.seen, [0, 1]);
    assert.equal(reasons.seen.length, 1);
  });

  it('ends the stream, and only that, when a handler rejects', async () => {
    const closed = new Events();
    const address = await fixture().listen(() => ({
      onRequest: (body) =>
        numberOf(body) === 13 ? Promise.reject(new Error('bug')) : Promise.resolve(reply(numberOf(body))),
      onClose: () => closed.add(),
    }));
    const bad = await fixture().connector.connect(address);
    const good = await fixture().connector.connect(address);
    await assert.rejects(bad.call(request(13)), withCode('unavailable'));
    await closed.atLeast(1);
    assert.equal(copiesOf(await good.call(request(1))), 1);
    assert.equal(bad.open, false);
  });

  it('rejects pending calls and closes when the server dies', async () => {
    const served = new Served();
    const reasons = new Events<RpcError>();
    const address = await fixture().listen(served.acceptor);
    const connection = await fixture().connector.connect(address, { onClose: reasons.add });
    const rejected = assert.rejects(connection.call(request(1)), withCode('unavailable'));
    await served.requests.atLeast(1);
    fixture().kill(address);
    await rejected;
    await reasons.atLeast(1);
    await served.closed.atLeast(1);
    await assert.rejects(fixture().connector.connect(address), withCode('unavailable'));
  });
}

/** Another stream of the same server is opened and closed, so that what is left of the first has been seen. */
async function closesOneMore(fixture: RpcFixture, served: Served): Promise<void> {
  const other = await fixture.connector.connect(await fixture.listen(served.acceptor));
  const before = served.closed.seen.length;
  other.close();
  await served.closed.atLeast(before + 1);
}

function connectContract(fixture: () => RpcFixture): void {
  it('is refused with `unavailable` where nobody listens', async () => {
    const address = await fixture().listen(echo);
    fixture().kill(address);
    const timeout = { connectTimeoutMs: 60_000 }; // refusal does not wait for it
    await assert.rejects(fixture().connector.connect(address, timeout), withCode('unavailable'));
  });

  it('connects again after the refusal', async () => {
    const gone = await fixture().listen(echo);
    fixture().kill(gone);
    await assert.rejects(fixture().connector.connect(gone), withCode('unavailable'));
    const connection = await fixture().connector.connect(await fixture().listen(echo));
    assert.equal(copiesOf(await connection.call(request(5))), 5);
  });
}
