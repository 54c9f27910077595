import { ERRNO, errnoName } from '../base/errno.ts';
import {
  CLIENT_BACKOFF_MS_MAX,
  CLIENT_BACKOFF_MS_MIN,
  FOLLOWERS_ASKED_AFTER_MS,
  HELLO_TIMEOUT_MS,
  LEADER_PROBE_EAGER_MS,
  LEADER_PROBE_MS_MAX,
  LEADER_PROBE_STAGGER_MS,
  META_ADDRESSES_MAX,
} from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { HelloReply, MetaReply, MetaRequest } from '../gen/ringfs/v1/meta.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type BodyOf, type RpcConnection, type RpcConnector, RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';
import type { Session } from './session.ts';

export type MetaConnection = RpcConnection<MetaRequest, MetaReply>;
export type MetaPush = NonNullable<BodyOf<MetaReply>>;

export interface SearchComponents {
  readonly connector: RpcConnector<MetaRequest, MetaReply>;
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  readonly session: Session;
}

/** A server that answered our hello as the leader. */
export interface FoundLeader {
  readonly connection: MetaConnection;
  readonly address: string;
  readonly hello: HelloReply;
  readonly sentMs: number;
  readonly receivedMs: number;
}

export interface SearchHooks {
  /** Called once; the other connections are closed then. */
  onFound(found: FoundLeader): void;
  onSessionLost(id: number): void;
  onPush(connection: MetaConnection, body: MetaPush): void;
  onClose(connection: MetaConnection, reason: RpcError): void;
  /** A server named another one that we did not know. */
  onLearned(address: string): void;
}

type Outcome = 'found' | 'again' | 'not-leader' | 'failed';

/**
 * Asks every known server at the same time whether it leads, the likeliest first, until one says so. A server that hangs
 * therefore delays nobody, and a new leader is found within LEADER_PROBE_MS_MAX of its election. After FOLLOWERS_ASKED_AFTER_MS
 * one after the other is asked to carry the stream to the leader, which this client alone may not reach.
 */
export class LeaderSearch {
  readonly #c: SearchComponents;
  readonly #hooks: SearchHooks;
  readonly #relays: boolean;
  readonly #startedMs: number;
  readonly #probed = new Set<string>();
  readonly #wakers = new Map<string, () => void>();
  readonly #connections = new Set<MetaConnection>();
  /** One at a time is asked to carry the stream to the leader: of two that do, the leader would end one. */
  #relayAsked = false;
  #done = false;

  /** `relays`: servers that do not lead may be asked to carry the stream to the leader. */
  constructor(components: SearchComponents, hooks: SearchHooks, options: { readonly relays: boolean }) {
    this.#c = components;
    this.#hooks = hooks;
    this.#relays = options.relays;
    this.#startedMs = components.timers.nowMs();
  }

  /** `addresses` with the likeliest leader first. */
  start(addresses: readonly string[]): void {
    addresses.forEach((address, i) => {
      this.#probe(address, i * LEADER_PROBE_STAGGER_MS);
    });
  }

  stop(): void {
    this.#finish(undefined);
  }

  #finish(winner: MetaConnection | undefined): void {
    this.#done = true;
    for (const wake of [...this.#wakers.values()]) wake();
    for (const connection of [...this.#connections]) if (connection !== winner) connection.close();
    this.#connections.clear();
  }

  /** Asks `address` soon, and from then on until the search is over. */
  #probe(address: string, delayMs: number): void {
    if (this.#probed.has(address)) {
      if (delayMs === 0) this.#wakers.get(address)?.();
      return;
    }
    if (this.#probed.size >= META_ADDRESSES_MAX) return;
    this.#probed.add(address);
    this.#run(address, delayMs).catch((error: unknown) => {
      this.#c.logger.error({ err: error, address }, 'probing a meta server failed');
    });
  }

  async #run(address: string, delayMs: number): Promise<void> {
    const backoff = new Backoff(this.#c.random, {
      minMs: CLIENT_BACKOFF_MS_MIN,
      maxMs: CLIENT_BACKOFF_MS_MAX,
    });
    if (delayMs > 0) await this.#pause(address, delayMs);
    let connection: MetaConnection | undefined;
    while (!this.#done) {
      connection = connection?.open ? connection : await this.#connect(address);
      if (this.#done) return;
      const outcome = connection === undefined ? 'failed' : await this.#hello(address, connection);
      if (this.#done || outcome === 'found') return;
      if (outcome === 'again') continue;
      const eager = this.#c.timers.nowMs() - this.#startedMs < LEADER_PROBE_EAGER_MS;
      await this.#pause(address, backoff.nextMs(eager ? LEADER_PROBE_MS_MAX : CLIENT_BACKOFF_MS_MAX));
    }
  }

  /** Waits, but not once the search is over or another server has named this one as the leader. */
  #pause(address: string, ms: number): Promise<void> {
    if (this.#done) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (): void => {
        timer.cancel();
        this.#wakers.delete(address);
        resolve();
      };
      const timer = this.#c.timers.after(ms, wake);
      this.#wakers.set(address, wake);
    });
  }

  async #connect(address: string): Promise<MetaConnection | undefined> {
    let connection: MetaConnection | undefined;
    try {
      connection = await this.#c.connector.connect(address, {
        onPush: (body) => {
          if (connection !== undefined) this.#hooks.onPush(connection, body);
        },
        onClose: (reason) => {
          if (connection === undefined) return;
          this.#connections.delete(connection);
          this.#hooks.onClose(connection, reason);
        },
      });
    } catch (error) {
      this.#c.logger.debug({ err: error, address }, 'meta server not reached');
      return undefined;
    }
    if (this.#done) {
      connection.close();
      return undefined;
    }
    this.#connections.add(connection);
    return connection;
  }

  async #hello(address: string, connection: MetaConnection): Promise<Outcome> {
    const { session, timers, logger } = this.#c;
    const sentMs = timers.nowMs();
    const relay = this.#relays && !this.#relayAsked && sentMs - this.#startedMs >= FOLLOWERS_ASKED_AFTER_MS;
    if (relay) this.#relayAsked = true;
    const hello = session.hello(relay);
    let reply: MetaPush;
    try {
      reply = await connection.call({ $case: 'hello', value: hello }, { timeoutMs: HELLO_TIMEOUT_MS });
    } catch (error) {
      logger.debug({ err: error, address }, 'meta server does not answer');
      connection.close();
      return 'failed';
    } finally {
      if (relay) this.#relayAsked = false;
    }
    if (this.#done) return 'failed';
    switch (reply.$case) {
      case 'hello':
        this.#finish(connection);
        this.#hooks.onFound({
          connection,
          address,
          hello: reply.value,
          sentMs,
          receivedMs: timers.nowMs(),
        });
        return 'found';
      case 'notLeader':
        this.#follow(reply.value.leaderAddress, address);
        return 'not-leader';
      case 'error':
        if (reply.value.errno === ERRNO.ESTALE && hello.session !== 0) {
          this.#hooks.onSessionLost(hello.session);
          return 'again';
        }
        if (reply.value.errno !== ERRNO.EAGAIN) {
          const errno = errnoName(reply.value.errno);
          logger.warn({ address, errno, detail: reply.value.message }, 'meta server refuses this client');
        }
        return 'failed';
      default:
        logger.error({ address, reply: reply.$case }, 'meta server answers a hello with something else');
        connection.close();
        return 'failed';
    }
  }

  #follow(leader: string, from: string): void {
    if (leader === '' || leader === from) return;
    this.#hooks.onLearned(leader);
    this.#probe(leader, 0);
  }
}

/** True when the call may be tried again on this or another connection. */
export function isRetryable(error: unknown): error is RpcError {
  return error instanceof RpcError && error.code !== 'protocol';
}
