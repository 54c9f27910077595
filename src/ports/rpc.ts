/**
 * Request and reply over one long-lived ordered stream, with pushes from the server. gRPC bidirectional streams
 * in production (src/io/grpc), an in-memory network in simulation. Messages arrive in the order sent.
 */

export type RpcErrorCode = 'unavailable' | 'deadline' | 'cancelled' | 'overloaded' | 'protocol';

/** The call got no answer. Whether it took effect is unknown, except for `overloaded` (it did not). */
export class RpcError extends Error {
  override readonly name = 'RpcError';
  readonly code: RpcErrorCode;
  constructor(code: RpcErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** Every message of a stream service has an id: 0 for a push, else the id of its request. */
export interface RpcMessage {
  id: number;
}

export interface RpcCallOptions {
  readonly signal?: AbortSignal;
  /** Default 10,000 ms. */
  readonly timeoutMs?: number;
}

export interface RpcConnection<Req extends RpcMessage, Res extends RpcMessage> {
  /** Sends `body` under a fresh id and resolves with the reply. Throws RpcError. */
  call(body: NonNullable<BodyOf<Req>>, options?: RpcCallOptions): Promise<NonNullable<BodyOf<Res>>>;
  /** One-way message with id 0. Dropped silently when the connection is gone. */
  send(body: NonNullable<BodyOf<Req>>): void;
  /** False once the stream has ended; pending calls have been rejected with `unavailable` by then. */
  readonly open: boolean;
  close(): void;
}

/** The oneof of a ts-proto message: `{ $case, value }`. */
export type BodyOf<M> = M extends { body?: infer B | undefined } ? B : never;

export interface RpcConnectOptions<Res extends RpcMessage> {
  /** Called synchronously, in order with replies, for every message with id 0. */
  readonly onPush?: (body: NonNullable<BodyOf<Res>>) => void;
  readonly onClose?: (reason: RpcError) => void;
  /** Default 2,000 ms. */
  readonly connectTimeoutMs?: number;
}

/** Connects to a stream service by address (host:port). Rejects with RpcError `unavailable`. */
export interface RpcConnector<Req extends RpcMessage, Res extends RpcMessage> {
  connect(address: string, options?: RpcConnectOptions<Res>): Promise<RpcConnection<Req, Res>>;
}

/** What a server sees of one client stream. */
export interface RpcPeer<Res extends RpcMessage> {
  readonly remote: string;
  /** Sends a push, in order with replies. Dropped when the stream is gone. */
  push(body: NonNullable<BodyOf<Res>>): void;
  /** Ends the stream. */
  close(): void;
}

export interface RpcStreamHandler<Req extends RpcMessage, Res extends RpcMessage> {
  /** The reply to one request. A rejection ends the stream: turn expected failures into reply bodies. Requests of one
   * stream are started in order and run concurrently; the replies go out as they resolve. Undefined: no reply. */
  onRequest(body: NonNullable<BodyOf<Req>>): Promise<NonNullable<BodyOf<Res>> | undefined>;
  onClose(): void;
}

/** A stream service: called for each new stream. */
export type RpcAcceptor<Req extends RpcMessage, Res extends RpcMessage> = (
  peer: RpcPeer<Res>,
) => RpcStreamHandler<Req, Res>;
