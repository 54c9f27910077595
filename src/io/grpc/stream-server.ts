import type { handleBidiStreamingCall, MethodDefinition, ServerDuplexStream } from '@grpc/grpc-js';
import { Metadata } from '@grpc/grpc-js';
import { CALLS_IN_FLIGHT_MAX } from '../../base/limits.ts';
import type { Logger } from '../../ports/logger.ts';
import type { BodyOf, RpcAcceptor, RpcMessage, RpcPeer } from '../../ports/rpc.ts';
import { deserializer, type MessageCodec, serializer } from './codec.ts';

type StreamMessage = RpcMessage & { body?: unknown };

export function streamMethod<Req, Res>(
  path: string,
  request: MessageCodec<Req>,
  reply: MessageCodec<Res>,
): MethodDefinition<Req, Res> {
  return {
    path,
    requestStream: true,
    responseStream: true,
    requestSerialize: serializer(request),
    requestDeserialize: deserializer(request),
    responseSerialize: serializer(reply),
    responseDeserialize: deserializer(reply),
  };
}

/** Serves a bidirectional stream method through an acceptor: requests start in order and run concurrently. */
export function serveStream<Req extends StreamMessage, Res extends StreamMessage>(
  acceptor: RpcAcceptor<Req, Res>,
  logger: Logger,
): handleBidiStreamingCall<Req, Res> {
  return (call) => {
    call.sendMetadata(new Metadata());
    new ServedStream(call, acceptor, logger);
  };
}

class ServedStream<Req extends StreamMessage, Res extends StreamMessage> implements RpcPeer<Res> {
  readonly remote: string;
  readonly #call: ServerDuplexStream<Req, Res>;
  readonly #logger: Logger;
  readonly #onClose: () => void;
  #open = true;
  #inFlight = 0;

  constructor(call: ServerDuplexStream<Req, Res>, acceptor: RpcAcceptor<Req, Res>, logger: Logger) {
    this.remote = call.getPeer();
    this.#call = call;
    this.#logger = logger;
    const handler = acceptor(this);
    this.#onClose = () => handler.onClose();
    const end = (): void => this.close();
    call.on('data', (request: Req) => {
      if (!this.#open || request.body === undefined || request.body === null) return;
      this.#begin();
      handler.onRequest(request.body as NonNullable<BodyOf<Req>>).then(
        (body) => {
          this.#finish();
          if (body !== undefined) this.#write(request.id, body);
        },
        (error: unknown) => {
          this.#finish();
          this.#logger.error(
            { err: error, remote: this.remote },
            'request handler failed; closing the stream',
          );
          this.close();
        },
      );
    });
    call.on('end', end);
    call.on('cancelled', end);
    call.on('error', (error) => {
      this.#logger.debug({ err: error, remote: this.remote }, 'stream error');
      this.close();
    });
  }

  push(body: NonNullable<BodyOf<Res>>): void {
    this.#write(0, body);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#onClose();
    this.#call.end();
  }

  #write(id: number, body: unknown): void {
    if (this.#open && !this.#call.cancelled) this.#call.write({ id, body } as unknown as Res);
  }

  /** A client that sends faster than it is served is slowed down by flow control instead of filling the memory. */
  #begin(): void {
    this.#inFlight += 1;
    if (this.#inFlight === CALLS_IN_FLIGHT_MAX) this.#call.pause();
  }

  #finish(): void {
    if (this.#inFlight === CALLS_IN_FLIGHT_MAX) this.#call.resume();
    this.#inFlight -= 1;
  }
}
