import { ERRNO, errnoName, FsError } from '../base/errno.ts';
import { CLIENT_BACKOFF_MS_MAX, CLIENT_BACKOFF_MS_MIN, CLIENT_CALL_TIMEOUT_MS } from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { MetaReply, MetaRequest } from '../gen/ringfs/v1/meta.ts';
import type { Logger } from '../ports/logger.ts';
import { type BodyOf, RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';
import type { Deadline } from './deadline.ts';
import type { LeaderConnection, LeaderLink } from './leader-connection.ts';
import { isRetryable } from './leader-search.ts';
import type { CacheToken } from './meta-cache.ts';

type RequestBody = NonNullable<BodyOf<MetaRequest>>;
type ReplyBody = NonNullable<BodyOf<MetaReply>>;
type ReplyCase = ReplyBody['$case'];
type ReplyValue<C extends ReplyCase> = Extract<ReplyBody, { $case: C }>['value'];

export interface MetaRequestsComponents {
  readonly leader: LeaderConnection;
  readonly random: Random;
  readonly logger: Logger;
  readonly cacheToken: () => CacheToken;
}

/** Requests that change nothing: asked again, of whoever leads, until they are answered or their time is over. */
export class MetaRequests {
  readonly #c: MetaRequestsComponents;
  sent = 0;
  retries = 0;

  constructor(components: MetaRequestsComponents) {
    this.#c = components;
  }

  /** The reply, and the state of the cache when the request was sent. Throws FsError. */
  async ask<C extends ReplyCase>(
    body: RequestBody,
    expected: C,
    deadline: Deadline,
  ): Promise<{ readonly value: ReplyValue<C>; readonly token: CacheToken }> {
    const backoff = new Backoff(this.#c.random, {
      minMs: CLIENT_BACKOFF_MS_MIN,
      maxMs: CLIENT_BACKOFF_MS_MAX,
    });
    let cause: unknown;
    // Ends at the deadline, which every turn that waits or fails checks.
    for (;;) {
      const link = await this.#c.leader.ready(deadline);
      const token = this.#c.cacheToken();
      this.sent++;
      try {
        const reply = await this.#call(link, body, deadline);
        if (reply.$case === expected) return { value: reply.value as ReplyValue<C>, token };
        cause = this.#refused(link, body, reply);
      } catch (error) {
        if (deadline.signal?.aborted) throw deadline.interrupted();
        if (!isRetryable(error)) throw error;
        cause = error;
        if (error.code === 'unavailable') this.#c.leader.lost(link, error.message);
      }
      this.retries++;
      // With a link still there the failure was this request's own: do not hammer.
      if (this.#c.leader.link === link) await deadline.sleep(backoff.nextMs(), cause);
      else deadline.check(cause);
    }
  }

  async #call(link: LeaderLink, body: RequestBody, deadline: Deadline): Promise<ReplyBody> {
    const timeoutMs = Math.max(1, Math.min(CLIENT_CALL_TIMEOUT_MS, deadline.remainingMs));
    const signal = deadline.signal;
    try {
      return await link.connection.call(body, signal === undefined ? { timeoutMs } : { timeoutMs, signal });
    } catch (error) {
      if (error instanceof RpcError && error.code === 'protocol') {
        this.#c.logger.error({ err: error, request: body.$case }, 'a request could not be sent');
        throw new FsError('EIO', 'the request could not be sent', { cause: error });
      }
      throw error;
    }
  }

  /** Returns why to ask again; throws when the answer is final. */
  #refused(link: LeaderLink, body: RequestBody, reply: ReplyBody): unknown {
    if (reply.$case === 'notLeader') {
      this.#c.leader.lost(link, 'not the leader any more', reply.value);
      return undefined;
    }
    if (reply.$case !== 'error') {
      this.#c.logger.error({ request: body.$case, reply: reply.$case }, 'a request got the wrong answer');
      throw new FsError('EIO', `${body.$case} answered with ${reply.$case}`);
    }
    const error = new FsError(errnoName(reply.value.errno), reply.value.message);
    if (reply.value.errno !== ERRNO.EAGAIN) throw error;
    return error;
  }
}
