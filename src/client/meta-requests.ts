import { errnoName, FsError } from '../base/errno.ts';
import {
  CLIENT_BACKOFF_MS_MAX,
  CLIENT_BACKOFF_MS_MIN,
  CLIENT_CALL_TIMEOUT_MS,
  FOLLOWER_RETRY_MS,
  FOLLOWERS_ASKED_AFTER_MS,
} from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { MetaReply, MetaRequest } from '../gen/ringfs/v1/meta.ts';
import type { Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { type BodyOf, RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';
import type { Deadline } from './deadline.ts';
import type { FollowerReader } from './follower-reader.ts';
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
  readonly timers: Timers;
  /** Without it reads wait for the leader as everything does. */
  readonly followers: FollowerReader | undefined;
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
      const link = this.#c.leader.link ?? (await this.#leaderOrAnswer(body, deadline));
      const token = this.#c.cacheToken();
      this.sent++;
      if ('reply' in link) {
        if (link.reply.$case !== expected) throw this.#final(body, link.reply);
        return { value: link.reply.value as ReplyValue<C>, token };
      }
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

  /** The leader once there is one, or what a follower says when that takes long. */
  async #leaderOrAnswer(
    body: RequestBody,
    deadline: Deadline,
  ): Promise<LeaderLink | { readonly reply: ReplyBody }> {
    const { leader, followers, timers } = this.#c;
    const up = leader.ready(deadline);
    if (followers?.takes(body) !== true) return await up;
    // Lost in a race below, it may reject later.
    up.catch(() => undefined);
    const over = new AbortController();
    const pause = async (ms: number): Promise<undefined> => void (await timers.sleep(ms, over.signal));
    try {
      for (let waitMs = FOLLOWERS_ASKED_AFTER_MS - leader.absentMs; ; waitMs = FOLLOWER_RETRY_MS) {
        const paused = waitMs > 0 ? pause(waitMs) : Promise.resolve(undefined);
        paused.catch(() => undefined);
        const link = await Promise.race([up, paused]);
        if (link !== undefined) return link;
        const asked = followers.ask(body, deadline.remainingMs);
        const first = await Promise.race([up, asked.then((reply) => reply && { reply })]);
        if (first !== undefined) return first;
      }
    } finally {
      over.abort(new Error('over'));
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
    const error = this.#final(body, reply);
    if (error.code !== 'EAGAIN') throw error;
    return error;
  }

  #final(body: RequestBody, reply: ReplyBody): FsError {
    if (reply.$case === 'error') return new FsError(errnoName(reply.value.errno), reply.value.message);
    this.#c.logger.error({ request: body.$case, reply: reply.$case }, 'a request got the wrong answer');
    return new FsError('EIO', `${body.$case} answered with ${reply.$case}`);
  }
}
