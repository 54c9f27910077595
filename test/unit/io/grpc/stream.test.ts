import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { BlockReply, BlockRequest } from '../../../../src/gen/ringfs/v1/block.ts';
import { BlockService } from '../../../../src/gen/ringfs/v1/service.ts';
import { blockConnector } from '../../../../src/io/grpc/connectors.ts';
import { GrpcServer, ListenError } from '../../../../src/io/grpc/server.ts';
import { type StreamLimits, serveStream, streamMethod } from '../../../../src/io/grpc/stream-server.ts';
import type { RpcError } from '../../../../src/ports/rpc.ts';
import {
  type BlockAcceptor,
  copiesOf,
  echo,
  numberOf,
  type Reply,
  reply,
  request,
  withCode,
} from '../../../support/block-rpc.ts';
import { Events } from '../../../support/events.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';

const PATH = BlockService.exchange.path;
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function listen(acceptor: BlockAcceptor, logger = new RecordingLogger()): Promise<number> {
  const server = new GrpcServer({ logger });
  closers.push(() => server.close());
  server.addBlock(acceptor);
  return server.listen('127.0.0.1:0');
}

/** A server with limits that a test can reach. */
function listenWith(acceptor: BlockAcceptor, limits: StreamLimits, logger: RecordingLogger): Promise<number> {
  const server = new Server();
  closers.push(() => server.forceShutdown());
  server.addService(
    { exchange: streamMethod(PATH, BlockRequest) },
    { exchange: serveStream(acceptor, BlockReply, logger, limits) },
  );
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
}

const connect = (port: number, options?: Parameters<ReturnType<typeof blockConnector>['connect']>[1]) =>
  blockConnector()
    .connect(`127.0.0.1:${port}`, options)
    .then((connection) => {
      closers.push(() => connection.close());
      return connection;
    });

/** A gRPC message: a flag, the length, and the bytes. */
function frame(bytes: Uint8Array, { compressed = false, length = bytes.length } = {}): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(compressed ? 1 : 0, 0);
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, bytes]);
}

const message = (id: number, n: number): Buffer =>
  frame(BlockRequest.encode({ id, body: request(n) }).finish());

interface RawCall {
  readonly session: http2.ClientHttp2Session;
  readonly stream: http2.ClientHttp2Stream;
  /** gRPC status, or undefined when the stream ended without one. */
  readonly ended: Promise<string | undefined>;
}

/** A call without the gRPC library, so that it can break every rule. */
function rawCall(port: number, headers: http2.OutgoingHttpHeaders = {}, read = true): RawCall {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  closers.push(() => session.destroy());
  session.on('error', () => {});
  const stream = session.request(
    {
      ':method': 'POST',
      ':path': PATH,
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      ...headers,
    },
    { endStream: false },
  );
  stream.on('error', () => {});
  stream.on('end', () => stream.end());
  if (read) stream.resume();
  const ended = new Promise<string | undefined>((resolve) => {
    let status: string | undefined;
    const note = (received: http2.IncomingHttpHeaders): void => {
      const value = received['grpc-status'];
      if (typeof value === 'string') status = value;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('close', () => resolve(status));
  });
  return { session, stream, ended };
}

describe('a gRPC stream', () => {
  it('delivers what was sent before the server closed it', async () => {
    const pushes = new Events<Reply>();
    const reasons = new Events<RpcError>();
    const port = await listen((peer) => ({
      onRequest: () => {
        for (let n = 0; n < 100; n++) peer.push(reply(n));
        peer.close();
        return Promise.resolve(reply(0));
      },
      onClose: () => {},
    }));
    const connection = await connect(port, { onPush: pushes.add, onClose: reasons.add });
    await assert.rejects(connection.call(request(1)), withCode('unavailable'));
    assert.deepEqual(
      pushes.seen.map(copiesOf),
      Array.from({ length: 100 }, (_, n) => n),
    );
    assert.equal(reasons.seen.length, 1);
  });

  it('ends when a handler throws before it returns a promise', async () => {
    const logger = new RecordingLogger();
    const port = await listen(
      () => ({
        onRequest: () => {
          throw new Error('bug');
        },
        onClose: () => {},
      }),
      logger,
    );
    const connection = await connect(port);
    await assert.rejects(connection.call(request(1)), withCode('unavailable'));
    assert.deepEqual(
      logger.lines.map(({ level, fields }) => [level, (fields as { err: Error }).err.message]),
      [['error', 'bug']],
    );
  });

  it('is refused by an acceptor that throws, and the server goes on', async () => {
    let refuse = true;
    const port = await listen((peer) => {
      if (refuse) throw new Error('bug');
      return echo(peer);
    });
    const refused = await connect(port).catch((error: unknown) => error);
    if (withCode('unavailable')(refused) === false) {
      await assert.rejects((refused as Awaited<ReturnType<typeof connect>>).call(request(1)));
    }
    refuse = false;
    assert.equal(copiesOf(await (await connect(port)).call(request(3))), 3);
  });

  it('ends when a reply is larger than a message may be', async () => {
    const logger = new RecordingLogger();
    const port = await listen(
      (peer) => ({
        onRequest: (body) =>
          numberOf(body) === 1
            ? Promise.resolve({ $case: 'get', value: { data: new Uint8Array(9 << 20) } })
            : echo(peer).onRequest(body),
        onClose: () => {},
      }),
      logger,
    );
    const connection = await connect(port);
    await assert.rejects(connection.call(request(1)), withCode('unavailable'));
    const [line] = logger.lines;
    assert.match((line?.fields as { err: Error } | undefined)?.err.message ?? '', /too large/);
    assert.equal(copiesOf(await (await connect(port)).call(request(2))), 2);
  });

  it('ends when a request is larger than a message may be', async () => {
    const port = await listen(echo);
    const other = await connect(port);
    const connection = await connect(port);
    const value = { blockId: new Uint8Array(32), data: new Uint8Array(9 << 20), replicate: false };
    await assert.rejects(connection.call({ $case: 'put', value }), withCode('unavailable'));
    assert.equal(copiesOf(await other.call(request(1))), 1);
  });

  it('refuses a request without a body that it knows, at once', async () => {
    const port = await listen(echo);
    const connection = await connect(port);
    const unknown = { $case: 'fromTheFuture', value: {} } as never;
    await assert.rejects(connection.call(unknown), withCode('protocol'));
    assert.equal(copiesOf(await connection.call(request(1))), 1);
  });

  it('refuses more calls in flight than the limit, with `overloaded`', async () => {
    const port = await listen(() => ({ onRequest: () => new Promise(() => {}), onClose: () => {} }));
    const connection = await connect(port);
    const calls = Array.from({ length: 4096 }, (_, n) => connection.call(request(n)));
    await assert.rejects(connection.call(request(1)), withCode('overloaded'));
    connection.close();
    for (const outcome of await Promise.allSettled(calls)) assert.equal(outcome.status, 'rejected');
  });
});

describe('flow control of a gRPC stream', () => {
  const limits = { requestsInFlight: 8, unsentBytesPause: 1 << 20, unsentBytesMax: 4 << 20 };

  it('starts no more requests than the limit, and goes on when they are answered', async () => {
    const started = new Events<(body: Reply) => void>();
    const port = await listenWith(
      () => ({
        onRequest: () => new Promise((resolve) => started.add(resolve)),
        onClose: () => {},
      }),
      limits,
      new RecordingLogger(),
    );
    const connection = await connect(port);
    const calls = Array.from({ length: 100 }, (_, n) => connection.call(request(n)));
    await started.atLeast(8);
    await roundTrip(port);
    assert.equal(started.seen.length, 8);
    for (let n = 0; n < 100; n++) {
      const answers = await started.atLeast(n + 1);
      assert.ok(answers.length <= n + 8);
      answers[n]?.(reply(n));
    }
    assert.deepEqual(
      (await Promise.all(calls)).map(copiesOf),
      calls.map((_, n) => n),
    );
  });

  const bigReply = { $case: 'get', value: { data: new Uint8Array(64 << 10) } } as const;
  const bigReplies =
    (started: Events): BlockAcceptor =>
    () => ({
      onRequest: () => {
        started.add();
        return Promise.resolve(bigReply);
      },
      onClose: () => {},
    });

  it('reads no more requests of a client that does not read its answers, until it does', async () => {
    const started = new Events();
    const port = await listenWith(bigReplies(started), limits, new RecordingLogger());
    const { stream, ended } = rawCall(port, {}, false);
    for (let id = 1; id <= 200; id++) stream.write(message(id, id));
    await started.atLeast(16);
    await roundTrip(port);
    await roundTrip(port);
    assert.ok(started.seen.length < 50, `${started.seen.length} requests were served`);
    stream.resume();
    await started.atLeast(200);
    stream.end();
    assert.equal(await ended, '0');
  });

  it('ends the stream of a client that does not read its pushes', async () => {
    const logger = new RecordingLogger();
    const closed = new Events();
    const port = await listenWith(
      (peer) => ({
        onRequest: () => {
          for (let n = 0; n < 100; n++) peer.push(bigReply);
          return Promise.resolve(undefined);
        },
        onClose: () => closed.add(),
      }),
      limits,
      logger,
    );
    const { stream, ended } = rawCall(port, {}, false);
    stream.write(message(1, 1));
    await closed.atLeast(1);
    assert.deepEqual(
      logger.lines.map(({ level }) => level),
      ['warn'],
    );
    let received = 0;
    stream.on('data', (bytes: Buffer) => {
      received += bytes.length;
    });
    assert.equal(await ended, '0');
    assert.ok(received < 1 << 20, `${received} bytes were kept for it`);
  });

  /** Whatever the server was going to do of itself, it has done when another stream got its answer. */
  async function roundTrip(port: number): Promise<void> {
    const other = rawCall(port);
    other.stream.end();
    await other.ended;
    await setImmediate();
  }
});

describe('hostile bytes', () => {
  /** Sends bytes on a stream of its own and returns the status; then the server has to serve others as before. */
  async function afterwards(port: number, act: () => Promise<unknown>): Promise<void> {
    await act();
    assert.equal(copiesOf(await (await connect(port)).call(request(11))), 11);
  }

  async function statusOf(port: number, bytes: Uint8Array, headers = {}): Promise<string | undefined> {
    const call = rawCall(port, headers);
    call.stream.write(bytes);
    return await call.ended;
  }

  it('that are no message end their stream only', async () => {
    const port = await listen(echo);
    const garbage = Buffer.from('ffffffffffffffffffffffffffffffffff', 'hex');
    await afterwards(port, async () => assert.equal(await statusOf(port, frame(garbage)), '13'));
  });

  it('that announce a huge message are refused before it is read', async () => {
    const port = await listen(echo);
    const lie = frame(Buffer.alloc(8), { length: 0xffff_ffff });
    await afterwards(port, async () => assert.equal(await statusOf(port, lie), '8'));
  });

  it('that are compressed are bounded in what they become', async () => {
    const port = await listen(echo);
    const bomb = frame(gzipSync(Buffer.alloc(32 << 20)), { compressed: true });
    await afterwards(port, async () =>
      assert.equal(await statusOf(port, bomb, { 'grpc-encoding': 'gzip' }), '8'),
    );
    const noise = frame(Buffer.from('no gzip at all'), { compressed: true });
    await afterwards(port, async () =>
      assert.equal(await statusOf(port, noise, { 'grpc-encoding': 'gzip' }), '13'),
    );
    await afterwards(port, async () =>
      assert.equal(await statusOf(port, noise, { 'grpc-encoding': 'none' }), '12'),
    );
  });

  it('that are not HTTP/2 at all', async () => {
    const port = await listen(echo);
    await afterwards(port, async () => {
      const socket = net.connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.write('GET / HTTP/1.1\r\nHost: ringfs\r\n\r\n');
      socket.resume();
      await new Promise<void>((resolve) => socket.on('close', () => resolve()));
    });
  });

  it('for a service that is not there, or of another content type', async () => {
    const port = await listen(echo);
    const headers = { ':path': '/ringfs.v1.Nothing/atAll' };
    await afterwards(port, async () => assert.equal(await statusOf(port, message(1, 1), headers), '12'));
    await afterwards(port, () => statusOf(port, message(1, 1), { 'content-type': 'text/html' }));
  });

  it('broken off in the middle, with every error code of HTTP/2', async () => {
    const closed = new Events();
    const port = await listen((peer) => ({ ...echo(peer), onClose: () => closed.add() }));
    await afterwards(port, async () => {
      for (let code = 0; code <= 13; code++) {
        const { stream } = rawCall(port);
        await new Promise<void>((resolve) => stream.on('response', () => resolve()));
        stream.write(message(1, 1).subarray(0, 6));
        stream.close(code);
        await closed.atLeast(code + 1);
      }
    });
    assert.equal(closed.seen.length, 14);
  });

  it('followed by the end of the connection', async () => {
    const closed = new Events();
    const port = await listen((peer) => ({ ...echo(peer), onClose: () => closed.add() }));
    await afterwards(port, async () => {
      const { session, stream } = rawCall(port);
      await new Promise<void>((resolve) => stream.on('response', () => resolve()));
      for (let id = 1; id <= 100; id++) stream.write(message(id, id));
      session.destroy();
      await closed.atLeast(1);
    });
  });
});

describe('connecting with gRPC', () => {
  /** A server that takes connections and says nothing. Resolves `gone` when the client has let go. */
  async function silentServer(): Promise<{ port: number; gone: Promise<void> }> {
    const closed = new Events();
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.on('close', () => closed.add());
      socket.resume();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => server.close());
    return {
      port: (server.address() as net.AddressInfo).port,
      gone: closed.atLeast(1).then(() => {}),
    };
  }

  it('gives up after the connect timeout, and leaves no socket behind', async () => {
    const { port, gone } = await silentServer();
    await assert.rejects(connect(port, { connectTimeoutMs: 50 }), withCode('unavailable'));
    await gone;
  });

  it('is refused by a server without the service', async () => {
    const server = new GrpcServer({ logger: new RecordingLogger() });
    closers.push(() => server.close());
    const port = await server.listen('127.0.0.1:0');
    await assert.rejects(connect(port, { connectTimeoutMs: 60_000 }), withCode('unavailable'));
  });

  it('has a connection of its own for each stream, closed with it', async () => {
    const server = net.createServer();
    const sockets = new Events<net.Socket>();
    const closed = new Events();
    const upstream = await listen(echo);
    server.on('connection', (socket) => {
      sockets.add(socket);
      const forward = net.connect(upstream, '127.0.0.1');
      socket.pipe(forward).pipe(socket);
      for (const end of [socket, forward]) end.on('error', () => {});
      socket.on('close', () => closed.add());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => server.close());
    const { port } = server.address() as net.AddressInfo;
    const [one, two] = [await connect(port), await connect(port)];
    assert.equal(sockets.seen.length, 2);
    one.close();
    two.close();
    await closed.atLeast(2);
  });
});

describe('GrpcServer', () => {
  it('listens on the given address only', async () => {
    const port = await listen(echo);
    await connect(port);
    for (const host of ['127.0.0.2', '[::1]']) {
      await assert.rejects(blockConnector().connect(`${host}:${port}`), withCode('unavailable'), host);
    }
  });

  it('says which address cannot be listened on', async () => {
    const port = await listen(echo);
    const second = new GrpcServer({ logger: new RecordingLogger() });
    closers.push(() => second.close());
    await assert.rejects(
      second.listen(`127.0.0.1:${port}`),
      (error) => error instanceof ListenError && error.message.includes(`127.0.0.1:${port}`),
    );
  });
});
