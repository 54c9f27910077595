import { type Client, type ClientDuplexStream, type ServiceError, status } from '@grpc/grpc-js';
import { CALLS_IN_FLIGHT_MAX } from '../../base/limits.ts';
import type {
  BodyOf,
  RpcCallOptions,
  RpcConnection,
  RpcConnectOptions,
  RpcConnector,
  RpcMessage,
} from '../../ports/rpc.ts';
import { RpcError } from '../../ports/rpc.ts';
import { deserializer, type MessageCodec, serializer } from './codec.ts';
import { openClient } from './open-client.ts';

const CALL_TIMEOUT_MS = 10_000;
const CONNECT_TIMEOUT_MS = 2_000;

interface Pending {
  resolve(body: unknown): void;
  reject(error: RpcError): void;
}

type StreamMessage = RpcMessage & { body?: unknown };

class StreamConnection<Req extends StreamMessage, Res extends StreamMessage>
  implements RpcConnection<Req, Res>
{
  open = true;
  readonly #client: Client;
  readonly #stream: ClientDuplexStream<Req, Res>;
  readonly #pending = new Map<number, Pending>();
  readonly #options: RpcConnectOptions<Res>;
  #nextId = 1;

  constructor(client: Client, stream: ClientDuplexStream<Req, Res>, options: RpcConnectOptions<Res>) {
    this.#client = client;
    this.#stream = stream;
    this.#options = options;
    stream.on('data', (message: Res) => this.#onMessage(message));
    stream.on('error', (error: ServiceError) =>
      this.#end(new RpcError('unavailable', error.details || error.message, { cause: error })),
    );
    stream.on('end', () => this.#end(new RpcError('unavailable', 'the server ended the stream')));
  }

  call(body: NonNullable<BodyOf<Req>>, options: RpcCallOptions = {}): Promise<NonNullable<BodyOf<Res>>> {
    if (!this.open) return Promise.reject(new RpcError('unavailable', 'the connection is closed'));
    if (this.#pending.size >= CALLS_IN_FLIGHT_MAX)
      return Promise.reject(new RpcError('overloaded', 'too many calls in flight'));
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(new RpcError('cancelled', 'aborted before it was sent'));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => settle.reject(new RpcError('cancelled', 'aborted'));
      const finish = (): void => {
        clearTimeout(timer);
        this.#pending.delete(id);
        signal?.removeEventListener('abort', onAbort);
      };
      const timeoutMs = options.timeoutMs ?? CALL_TIMEOUT_MS;
      const timer = setTimeout(
        () => settle.reject(new RpcError('deadline', `no answer within ${timeoutMs} ms`)),
        timeoutMs,
      );
      timer.unref();
      const settle: Pending = {
        resolve: (reply) => {
          finish();
          resolve(reply as NonNullable<BodyOf<Res>>);
        },
        reject: (error) => {
          finish();
          reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#pending.set(id, settle);
      this.#stream.write({ id, body } as unknown as Req);
    });
  }

  send(body: NonNullable<BodyOf<Req>>): void {
    if (this.open) this.#stream.write({ id: 0, body } as unknown as Req);
  }

  close(): void {
    this.#end(new RpcError('unavailable', 'closed by this side'));
  }

  #onMessage(message: Res): void {
    if (!this.open) return;
    const pending = this.#pending.get(message.id);
    if (message.body === undefined || message.body === null)
      pending?.reject(new RpcError('protocol', 'the other side does not know this request, or its answer'));
    else if (message.id === 0) this.#options.onPush?.(message.body as NonNullable<BodyOf<Res>>);
    else pending?.resolve(message.body);
  }

  #end(reason: RpcError): void {
    if (!this.open) return;
    this.open = false;
    this.#stream.cancel();
    this.#client.close();
    for (const pending of [...this.#pending.values()]) pending.reject(reason);
    this.#options.onClose?.(reason);
  }
}

/** Connects to one bidirectional stream method. The server's initial metadata says that the stream is there. */
export class GrpcConnector<Req extends StreamMessage, Res extends StreamMessage>
  implements RpcConnector<Req, Res>
{
  readonly #path: string;
  readonly #serialize: (message: Req) => Buffer;
  readonly #deserialize: (bytes: Buffer) => Res;

  constructor(path: string, request: MessageCodec<Req>, reply: MessageCodec<Res>) {
    this.#path = path;
    this.#serialize = serializer(request);
    this.#deserialize = deserializer(reply);
  }

  connect(address: string, options: RpcConnectOptions<Res> = {}): Promise<RpcConnection<Req, Res>> {
    const { client, destroy } = openClient(address);
    const stream = client.makeBidiStreamRequest(this.#path, this.#serialize, this.#deserialize);
    return new Promise((resolve, reject) => {
      const fail = (message: string, cause?: unknown): void => {
        clearTimeout(timer);
        stream.removeAllListeners();
        stream.on('error', () => {}); // the cancellation below surfaces as an error event
        stream.cancel();
        destroy();
        reject(new RpcError('unavailable', `${address}: ${message}`, { cause }));
      };
      const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
      const timer = setTimeout(() => fail(`no connection within ${timeoutMs} ms`), timeoutMs);
      stream.once('error', (error: ServiceError) =>
        fail(error.code === status.UNAVAILABLE ? 'not reachable' : error.details, error),
      );
      stream.once('end', () => fail('the server ended the stream'));
      stream.once('metadata', () => {
        clearTimeout(timer);
        stream.removeAllListeners('error');
        stream.removeAllListeners('end');
        resolve(new StreamConnection(client, stream, options));
      });
    });
  }
}
