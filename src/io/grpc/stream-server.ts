import type { handleBidiStreamingCall, MethodDefinition, ServerDuplexStream } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import {
  CALLS_IN_FLIGHT_MAX,
  MESSAGE_BYTES_MAX,
  STREAM_UNSENT_BYTES_MAX,
  STREAM_UNSENT_BYTES_PAUSE,
} from '../../base/limits.ts';
import type { Logger } from '../../ports/logger.ts';
import type { BodyOf, RpcAcceptor, RpcMessage, RpcPeer, RpcStreamHandler } from '../../ports/rpc.ts';
import { deserializer, type MessageCodec, serializer } from './codec.ts';

type StreamMessage = RpcMessage & { body?: unknown };

export interface StreamLimits {
  readonly requestsInFlight: number;
  readonly unsentBytesPause: number;
  readonly unsentBytesMax: number;
}

const STREAM_LIMITS: StreamLimits = {
  // Twice what a client sends: one that keeps the rules is never paused, so its answers to recalls are always read.
  requestsInFlight: 2 * CALLS_IN_FLIGHT_MAX,
  unsentBytesPause: STREAM_UNSENT_BYTES_PAUSE,
  unsentBytesMax: STREAM_UNSENT_BYTES_MAX,
};
/** What a waiting message costs besides its bytes. */
const MESSAGE_OVERHEAD_BYTES = 256;

/** The service definition of a method served by `serveStream`, which encodes its replies itself to know their size. */
export function streamMethod<Req>(path: string, request: MessageCodec<Req>): MethodDefinition<Req, Buffer> {
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: serializer(request),
    requestDeserialize: deserializer(request),
    responseSerialize: (bytes) => bytes,
    responseDeserialize: (bytes) => bytes,
  };
}

/** Serves a bidirectional stream method through an acceptor: requests start in order and run concurrently. */
export function serveStream<Req extends StreamMessage, Res extends StreamMessage>(
  acceptor: RpcAcceptor<Req, Res>,
  reply: MessageCodec<Res>,
  logger: Logger,
  limits = STREAM_LIMITS,
): handleBidiStreamingCall<Req, Buffer> {
  const encode = serializer(reply);
  return (call) => {
    call.sendMetadata(new Metadata());
    new ServedStream(call, acceptor, encode, logger, limits);
  };
}

class ServedStream<Req extends StreamMessage, Res extends StreamMessage> implements RpcPeer<Res> {
  readonly remote: string;
  readonly #call: ServerDuplexStream<Req, Buffer>;
  readonly #encode: (message: Res) => Buffer;
  readonly #logger: Logger;
  readonly #limits: StreamLimits;
  readonly #handler: RpcStreamHandler<Req, Res>;
  /** Behind the one message that gRPC has; its own queue has no size in bytes and cannot be dropped. */
  #queue: Buffer[] = [];
  #unsentBytes = 0;
  #inFlight = 0;
  #sending = false;
  #paused = false;
  #open = true;

  constructor(
    call: ServerDuplexStream<Req, Buffer>,
    acceptor: RpcAcceptor<Req, Res>,
    encode: (message: Res) => Buffer,
    logger: Logger,
    limits: StreamLimits,
  ) {
    this.#limits = limits;
    this.remote = call.getPeer();
    this.#call = call;
    this.#encode = encode;
    this.#logger = logger;
    this.#handler = acceptor(this);
    call.on('data', (request: Req) => void this.#serve(request));
    call.on('end', () => this.close());
    call.on('cancelled', () => this.#drop());
    call.on('error', (error) => {
      logger.debug({ err: error, remote: this.remote }, 'stream error');
      this.#drop();
    });
  }

  push(body: NonNullable<BodyOf<Res>>): void {
    this.#send(0, body);
  }

  /** What was sent before is still delivered. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#handler.onClose();
    if (!this.#sending) this.#call.end();
  }

  #drop(): void {
    this.#queue = [];
    this.close();
  }

  async #serve(request: Req): Promise<void> {
    if (!this.#open) return;
    if (request.body === undefined || request.body === null) {
      // A request of a later version of the protocol. The client takes an answer without a body for a refusal.
      if (request.id !== 0) this.#send(request.id, undefined);
      return;
    }
    this.#inFlight += 1;
    this.#regulate();
    try {
      const body = await this.#handler.onRequest(request.body as NonNullable<BodyOf<Req>>);
      if (body !== undefined && request.id !== 0) this.#send(request.id, body);
    } catch (error) {
      this.#fail(error);
    }
    this.#inFlight -= 1;
    this.#regulate();
  }

  #send(id: number, body: unknown): void {
    if (!this.#open) return;
    let bytes: Buffer;
    try {
      bytes = this.#encode({ id, body } as unknown as Res);
      if (bytes.length > MESSAGE_BYTES_MAX)
        throw new Error(`a message of ${bytes.length} bytes is too large`);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#unsentBytes += bytes.length + MESSAGE_OVERHEAD_BYTES;
    if (this.#unsentBytes > this.#limits.unsentBytesMax) {
      this.#logger.warn({ remote: this.remote }, 'a client does not read its answers; ending its stream');
      this.#drop();
      return;
    }
    this.#queue.push(bytes);
    this.#regulate();
    if (!this.#sending) this.#sendNext();
  }

  #sendNext(): void {
    const bytes = this.#queue.shift();
    this.#sending = bytes !== undefined;
    if (bytes === undefined) {
      if (!this.#open) this.#call.end();
      return;
    }
    this.#call.write(bytes, () => {
      this.#unsentBytes -= bytes.length + MESSAGE_OVERHEAD_BYTES;
      this.#regulate();
      this.#sendNext();
    });
  }

  #fail(error: unknown): void {
    if (this.#open)
      this.#logger.error({ err: error, remote: this.remote }, 'request handler failed; closing the stream');
    this.close();
  }

  /** A client that sends faster than it is served, or does not read, is slowed down by flow control. */
  #regulate(): void {
    const pause =
      this.#open &&
      (this.#inFlight >= this.#limits.requestsInFlight || this.#unsentBytes >= this.#limits.unsentBytesPause);
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.#call.pause();
    else this.#call.resume();
  }
}
