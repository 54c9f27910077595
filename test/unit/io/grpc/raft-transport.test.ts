import assert from 'node:assert/strict';
import net from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import type { ServerId } from '../../../../src/base/ids.ts';
import { RaftMessage, RaftMessageType, type SnapshotPart } from '../../../../src/gen/ringfs/v1/raft.ts';
import { GrpcRaftTransport } from '../../../../src/io/grpc/raft-transport.ts';
import { GrpcServer } from '../../../../src/io/grpc/server.ts';
import type { RaftReceiver } from '../../../../src/ports/raft-transport.ts';
import { Events } from '../../../support/events.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';

const A = 's1' as ServerId;
const B = 's2' as ServerId;
const closers: (() => unknown)[] = [];
let alive: NodeJS.Timeout | undefined; // the transport keeps no process alive
before(() => {
  alive = setInterval(() => {}, 60_000);
});
after(() => clearInterval(alive));
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Delivered {
  readonly index: number;
  readonly from: { readonly id: ServerId; readonly address: string; readonly clusterId: string };
}

class Receiver implements RaftReceiver {
  readonly messages = new Events<Delivered>();
  onSnapshot: (parts: AsyncIterable<SnapshotPart>) => Promise<void> = () => Promise.resolve();

  onMessages(messages: readonly RaftMessage[], from: Delivered['from']): void {
    for (const { index } of messages) this.messages.add({ index, from });
  }
}

async function serve(receiver: RaftReceiver, port = 0): Promise<{ port: number; server: GrpcServer }> {
  const server = new GrpcServer({ logger: new RecordingLogger() });
  server.addRaft(receiver);
  closers.push(() => server.close());
  return { port: await server.listen(`127.0.0.1:${port}`), server };
}

function transportTo(
  port: number,
  clusterId = 'cluster',
): GrpcRaftTransport & { unreachable: Events<string> } {
  const unreachable = new Events<string>();
  const transport = new GrpcRaftTransport(
    { logger: new RecordingLogger(), onUnreachable: unreachable.add },
    { id: A, address: '10.0.0.1:7400', clusterId },
  );
  closers.push(() => transport.close());
  transport.setPeer(B, `127.0.0.1:${port}`);
  return Object.assign(transport, { unreachable });
}

const message = (index: number, to = B): RaftMessage => ({
  ...RaftMessage.decode(new Uint8Array(0)),
  type: RaftMessageType.APPEND,
  from: A,
  to,
  index,
});

/** Sends until something arrives: before the stream is there, messages are dropped. Returns what arrived first. */
async function untilConnected(transport: GrpcRaftTransport, receiver: Receiver): Promise<void> {
  const had = receiver.messages.seen.length;
  const probe = setInterval(() => transport.send([message(0)]), 5);
  await receiver.messages.atLeast(had + 1);
  clearInterval(probe);
}

const indexes = (delivered: readonly Delivered[]): number[] =>
  delivered.map(({ index }) => index).filter((index) => index !== 0);

describe('messages of GrpcRaftTransport', () => {
  it('arrive in order, with who sent them and from which cluster', async () => {
    const receiver = new Receiver();
    const transport = transportTo((await serve(receiver)).port, 'another cluster');
    await untilConnected(transport, receiver);
    const had = receiver.messages.seen.length;
    for (let i = 1; i <= 200; i += 2) transport.send([message(i), message(i + 1)]);
    while (indexes(receiver.messages.seen).length < 200)
      await receiver.messages.atLeast(receiver.messages.seen.length + 1);
    assert.deepEqual(
      indexes(receiver.messages.seen),
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
    assert.deepEqual(receiver.messages.seen[had]?.from, {
      id: A,
      address: '10.0.0.1:7400',
      clusterId: 'another cluster',
    });
    assert.deepEqual(transport.unreachable.seen, []);
  });

  it('to unknown peers and to itself are dropped', async () => {
    const receiver = new Receiver();
    const { port } = await serve(receiver);
    const transport = transportTo(port);
    transport.setPeer(A, `127.0.0.1:${port}`);
    await untilConnected(transport, receiver);
    transport.send([message(1, A), message(2, 's9' as ServerId), message(3)]);
    while (indexes(receiver.messages.seen).length === 0)
      await receiver.messages.atLeast(receiver.messages.seen.length + 1);
    assert.deepEqual(indexes(receiver.messages.seen), [3]);
  });

  it('are dropped while the peer is down, and delivered after it is back', async () => {
    const first = new Receiver();
    const { port, server } = await serve(first);
    const transport = transportTo(port);
    await untilConnected(transport, first);
    server.close();
    await transport.unreachable.atLeast(1);
    for (let i = 1; i <= 1000; i++) transport.send([message(i)]);
    const second = new Receiver();
    await serve(second, port);
    await untilConnected(transport, second);
    transport.send([message(1001)]);
    while (indexes(second.messages.seen).length === 0)
      await second.messages.atLeast(second.messages.seen.length + 1);
    assert.deepEqual(indexes(second.messages.seen), [1001]);
    assert.deepEqual(transport.unreachable.seen, [B]);
  });

  it('go to a new address, or nowhere, as the membership says', async () => {
    const [one, two] = [new Receiver(), new Receiver()];
    const transport = transportTo((await serve(one)).port);
    await untilConnected(transport, one);
    transport.setPeer(B, `127.0.0.1:${(await serve(two)).port}`);
    const had = one.messages.seen.length;
    await untilConnected(transport, two);
    transport.removePeer(B);
    transport.send([message(1)]);
    assert.equal(one.messages.seen.length, had);
    assert.deepEqual(indexes(two.messages.seen), []);
    assert.deepEqual(transport.unreachable.seen, []); // it was let go on purpose
  });

  it('are bounded for a peer that takes none', async () => {
    const stuck = net.createServer({ pauseOnConnect: true });
    const relayed = new Receiver();
    const { port: upstream } = await serve(relayed);
    const pipes = new Events<net.Socket>();
    stuck.on('connection', (socket) => {
      const forward = net.connect(upstream, '127.0.0.1');
      for (const end of [socket, forward]) end.on('error', () => {});
      socket.pipe(forward).pipe(socket);
      pipes.add(socket);
    });
    await new Promise<void>((resolve) => stuck.listen(0, '127.0.0.1', resolve));
    closers.push(() => stuck.close());
    const transport = transportTo((stuck.address() as net.AddressInfo).port);
    await untilConnected(transport, relayed);
    const [socket] = await pipes.atLeast(1);
    socket?.unpipe();
    socket?.pause();
    const big = message(1);
    big.entries = [{ term: 1, index: 1, type: 1, data: new Uint8Array(64 << 10) }];
    for (let i = 0; i < 300; i++) transport.send([big]);
    assert.deepEqual(new Set(transport.unreachable.seen), new Set([B]));
    assert.ok(transport.unreachable.seen.length >= 300 - 256 - 16);
    await transport.close();
  });
});

const part = (n: number, bytes = 8): SnapshotPart => ({
  body: { $case: 'rows', value: { keys: [Uint8Array.of(n)], values: [new Uint8Array(bytes)] } },
});
const keyOf = (received: SnapshotPart): number =>
  received.body?.$case === 'rows' ? (received.body.value.keys[0]?.[0] ?? -1) : -1;

describe('snapshots of GrpcRaftTransport', () => {
  const never = new AbortController().signal;

  async function connected(receiver: Receiver): Promise<GrpcRaftTransport> {
    return transportTo((await serve(receiver)).port);
  }

  it('arrive whole and in order; sending ends when they are installed', async () => {
    const receiver = new Receiver();
    const received: number[] = [];
    let installed = false;
    receiver.onSnapshot = async (parts) => {
      for await (const each of parts) received.push(keyOf(each));
      await new Promise((resolve) => setImmediate(resolve));
      installed = true;
    };
    const transport = await connected(receiver);
    await transport.sendSnapshot(
      B,
      (async function* () {
        for (let n = 0; n < 100; n++) yield part(n);
      })(),
      never,
    );
    assert.ok(installed);
    assert.deepEqual(
      received,
      Array.from({ length: 100 }, (_, n) => n),
    );
  });

  it('are read no faster than the peer takes them', async () => {
    const receiver = new Receiver();
    let read = 0;
    let proceed: (() => void) | undefined;
    const held = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    let taken = 0;
    receiver.onSnapshot = async (parts) => {
      for await (const _ of parts) {
        taken++;
        if (taken === 1) await held;
      }
    };
    const transport = await connected(receiver);
    const beyondWindow = new Events();
    const total = 120;
    const sending = transport.sendSnapshot(
      B,
      (async function* () {
        for (let n = 0; n < total; n++) {
          read++;
          if (read === 20) beyondWindow.add();
          yield part(n, 1 << 20);
        }
      })(),
      never,
    );
    await beyondWindow.atLeast(1);
    // A round trip on a connection of its own: whatever was going to be read meanwhile, has been.
    const other = new Receiver();
    await untilConnected(await connected(other), other);
    assert.ok(read < total, 'the whole snapshot was read into memory');
    proceed?.();
    await sending;
    assert.equal(taken, total);
  });

  it('that are refused reject with what the peer says, and are not read to the end', async () => {
    const receiver = new Receiver();
    receiver.onSnapshot = async (parts) => {
      for await (const _ of parts) throw new Error('it is of another cluster');
    };
    const transport = await connected(receiver);
    const stopped = new Events();
    const endless = (async function* () {
      try {
        for (;;) yield part(0, 64 << 10);
      } finally {
        stopped.add();
      }
    })();
    await assert.rejects(transport.sendSnapshot(B, endless, never), /s2 refused.*another cluster/);
    await stopped.atLeast(1);
  });

  it('that are aborted reject with the reason, and end at the peer', async () => {
    const receiver = new Receiver();
    const outcome = new Events<string>();
    // To the peer it may look like the end: only the trailer makes a snapshot complete.
    receiver.onSnapshot = async (parts) => {
      try {
        for await (const each of parts) outcome.add(`part ${keyOf(each)}`);
      } finally {
        outcome.add('end');
      }
    };
    const transport = await connected(receiver);
    const controller = new AbortController();
    const sending = transport.sendSnapshot(
      B,
      (async function* () {
        yield part(1);
        await new Promise(() => {}); // the disk takes its time
      })(),
      controller.signal,
    );
    const rejected = assert.rejects(sending, /no longer the leader/);
    await outcome.atLeast(1);
    controller.abort(new Error('no longer the leader'));
    await rejected;
    assert.deepEqual(await outcome.atLeast(2), ['part 1', 'end']);
    await assert.rejects(
      transport.sendSnapshot(B, (async function* () {})(), controller.signal),
      /no longer the leader/,
    );
  });

  it('whose source fails reject with its error', async () => {
    const receiver = new Receiver();
    const transport = await connected(receiver);
    const parts = (async function* () {
      yield part(1);
      throw new Error('disk error');
    })();
    await assert.rejects(transport.sendSnapshot(B, parts, never), /disk error/);
  });

  it('to a peer that is down or goes down reject', async () => {
    const receiver = new Receiver();
    const { port, server } = await serve(receiver);
    const transport = transportTo(port);
    const started = new Events();
    receiver.onSnapshot = async (parts) => {
      for await (const each of parts) if (keyOf(each) === 0) started.add();
    };
    const endless = (async function* () {
      for (;;) yield part(0, 64 << 10);
    })();
    const rejected = assert.rejects(transport.sendSnapshot(B, endless, never));
    await started.atLeast(3);
    server.close();
    await rejected;
    await assert.rejects(
      transport.sendSnapshot(
        B,
        (async function* () {
          yield part(0);
        })(),
        never,
      ),
    );
  });
});
