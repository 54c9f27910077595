import { FsError } from '../base/errno.ts';
import { HELLO_TIMEOUT_MS, RELAY_CALL_TIMEOUT_MS, RELAY_CONNECT_TIMEOUT_MS } from '../base/limits.ts';
import type { Hello, MetaReply, MetaRequest } from '../gen/ringfs/v1/meta.ts';
import type { Timers } from '../ports/clock.ts';
import { type RpcConnection, type RpcConnector, RpcError, type RpcPeer } from '../ports/rpc.ts';
import type { ReplyBody, RequestBody } from './context.ts';

export interface RelayComponents {
  readonly connector: RpcConnector<MetaRequest, MetaReply>;
  readonly timers: Timers;
  /** The client. */
  readonly peer: RpcPeer<MetaReply>;
  /** The leader is gone, or has ended the stream. */
  readonly onClose: () => void;
}

/**
 * Carries one client's stream to the leader and back, for a client that reaches this follower and not the leader. It knows nothing of
 * what it carries: the session is the leader's, leases count from when the client sent its pings, and whatever goes wrong
 * here is the end of the stream, after which the client begins again.
 */
export class Relay {
  readonly #c: RelayComponents;
  #upstream: RpcConnection<MetaRequest, MetaReply> | undefined;
  #closed = false;

  constructor(components: RelayComponents) {
    this.#c = components;
  }

  /** The leader's answer to `hello`. Throws RpcError. */
  async open(hello: Hello, leader: string): Promise<ReplyBody> {
    const { connector, timers, peer, onClose } = this.#c;
    const upstream = await connector.connect(leader, {
      connectTimeoutMs: RELAY_CONNECT_TIMEOUT_MS,
      // In another turn: a reply that came before it is on its way by then, and what a client hears of late is never harmful,
      // since the leader waits for the answer.
      onPush: (body) => {
        timers.after(0, () => peer.push(body));
      },
      onClose: () => {
        timers.after(0, () => {
          if (!this.#closed) onClose();
        });
      },
    });
    if (this.#closed) {
      upstream.close();
      throw new RpcError('cancelled', 'the client is gone');
    }
    this.#upstream = upstream;
    const value = { ...hello, relay: false };
    const reply = await upstream.call({ $case: 'hello', value }, { timeoutMs: HELLO_TIMEOUT_MS });
    return reply.$case === 'hello' ? { ...reply, value: { ...reply.value, relayedTo: leader } } : reply;
  }

  /** What the leader answers; undefined for what has no answer. Throws FsError EAGAIN, EPROTO; RpcError, after which it is useless. */
  async request(body: RequestBody): Promise<ReplyBody | undefined> {
    const upstream = this.#upstream;
    if (upstream === undefined) throw new RpcError('unavailable', 'there is no way to the leader');
    if (body.$case === 'recallAck' || body.$case === 'openInodesReply') return void upstream.send(body);
    try {
      return await upstream.call(body, { timeoutMs: RELAY_CALL_TIMEOUT_MS });
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      if (error.code === 'overloaded') throw new FsError('EAGAIN', error.message, { cause: error });
      if (error.code === 'protocol') throw new FsError('EPROTO', error.message, { cause: error });
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    this.#upstream?.close();
    this.#upstream = undefined;
  }
}
