import { ERRNO, errnoName, FsError } from '../base/errno.ts';
import {
  CLIENT_BACKOFF_MS_MAX,
  CLIENT_BACKOFF_MS_MIN,
  CLIENT_CALL_TIMEOUT_MS,
  COMMAND_BYTES_MAX,
  COMMITS_WAITING_MAX,
  SESSION_WINDOW_MAX,
} from '../base/limits.ts';
import type { Random } from '../base/random.ts';
import type { NotLeader } from '../gen/ringfs/v1/meta.ts';
import {
  Command,
  type CommitResult,
  type Op,
  type Precondition,
  type Time,
} from '../gen/ringfs/v1/namespace.ts';
import type { TimerHandle, Timers } from '../ports/clock.ts';
import type { Logger } from '../ports/logger.ts';
import { RpcError } from '../ports/rpc.ts';
import { Backoff } from './backoff.ts';
import type { Deadline } from './deadline.ts';
import type { LeaderLink } from './leader-connection.ts';
import type { MetaPush } from './leader-search.ts';
import type { CacheToken } from './meta-cache.ts';

export interface CommitBody {
  readonly ops: readonly Op[];
  readonly preconditions: readonly Precondition[];
  readonly assumedBlocks: readonly Uint8Array[];
  readonly uploadedAt?: number | undefined;
  /** Fails when the session is lost before it was sent. */
  readonly sameSession?: boolean;
}

export interface CommitQueueHooks {
  /** The cluster's time, to stamp commits with. */
  now(): Time;
  /** The state of the cache when a commit is sent. */
  cacheToken(): CacheToken;
  /** A commit is sent for the first time. What is returned is called when its fate is known, after `onAnswer`. */
  onSend(body: CommitBody): () => void;
  /** Called synchronously with every answer, in the order in which they arrive, before its caller is told. `token`: only
   * when it was sent once, so that the answer is not older than what arrived before it. `abandoned`: its caller has gone. */
  onAnswer(body: CommitBody, result: CommitResult, token: CacheToken | undefined, abandoned: boolean): void;
  onNotLeader(link: LeaderLink, hint: NotLeader): void;
  onBroken(link: LeaderLink, reason: string): void;
  /** The state machine does not know the session of `link`. */
  onSessionUnknown(link: LeaderLink): void;
}

export interface CommitQueueComponents {
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
}

class Entry {
  readonly body: CommitBody;
  readonly backoff: Backoff;
  readonly resolve: (result: CommitResult) => void;
  readonly reject: (error: Error) => void;
  /** 0: not sent yet. */
  sequence = 0;
  session = 0;
  command: Uint8Array | undefined;
  /** How often it was sent. */
  sends = 0;
  /** How many of these were not refused by a server that did not put it into its log. At 0 it has not taken effect. */
  unrefused = 0;
  /** Orders sends over all entries. */
  lastSend = 0;
  link: LeaderLink | undefined;
  token: CacheToken | undefined;
  retry: TimerHandle | undefined;
  release: (() => void) | undefined;
  abandoned = false;
  settled = false;

  constructor(body: CommitBody, backoff: Backoff, settle: Pick<Entry, 'resolve' | 'reject'>) {
    this.body = body;
    this.backoff = backoff;
    this.resolve = settle.resolve;
    this.reject = settle.reject;
  }
}

/**
 * Sends commits in order under sequence numbers of the session, at most SESSION_WINDOW_MAX ahead of the oldest one without
 * an answer, and sends them again under the same sequence until their fate is known. A commit whose session was lost
 * while its fate was unknown fails with EIO: under another session it could take effect a second time. While the fate of
 * a commit is unknown whose caller has been told so, no other is sent for the first time: what its caller does next, such
 * as the same again if the inode is unchanged, takes effect after it.
 */
export class CommitQueue {
  readonly #c: CommitQueueComponents;
  readonly #hooks: CommitQueueHooks;
  readonly #waiting: Entry[] = [];
  /** By sequence; in order of sequence. */
  readonly #inFlight = new Map<number, Entry>();
  /** Those in flight whose callers have gone. */
  readonly #doubtful = new Set<Entry>();
  #link: LeaderLink | undefined;
  #session = 0;
  #nextSequence = 1;
  #sends = 0;
  #closed = false;
  #idle: (() => void)[] = [];
  /** Commits whose fate stayed unknown. */
  unknownFates = 0;
  resends = 0;

  constructor(components: CommitQueueComponents, hooks: CommitQueueHooks) {
    this.#c = components;
    this.#hooks = hooks;
  }

  get pending(): number {
    return this.#waiting.length + this.#inFlight.size;
  }

  /** Resolves with any CommitResult but `session_unknown`. Throws EINTR, ETIMEDOUT (then its fate may be
   * unknown, and it is still pursued if so), EIO, EAGAIN when too many wait. */
  async submit(body: CommitBody, deadline: Deadline): Promise<CommitResult> {
    deadline.check();
    if (this.#closed) throw new FsError('EIO', 'the client is closed');
    if (this.#waiting.length >= COMMITS_WAITING_MAX) throw new FsError('EAGAIN', 'too many commits wait');
    let entry: Entry | undefined;
    const answer = new Promise<CommitResult>((resolve, reject) => {
      const backoff = new Backoff(this.#c.random, {
        minMs: CLIENT_BACKOFF_MS_MIN,
        maxMs: CLIENT_BACKOFF_MS_MAX,
      });
      entry = new Entry(body, backoff, { resolve, reject });
      this.#waiting.push(entry);
    });
    this.#pump();
    try {
      return await deadline.race(answer);
    } catch (error) {
      if (entry !== undefined && !entry.settled) this.#abandon(entry);
      throw error;
    }
  }

  /** There is a leader that accepted our session: send what has no answer yet, then what waits. */
  connected(link: LeaderLink): void {
    if (link.session !== this.#session) this.#startSession(link.session);
    this.#link = link;
    for (const entry of [...this.#inFlight.values()]) this.#send(entry);
    this.#pump();
  }

  disconnected(): void {
    this.#link = undefined;
    for (const entry of this.#inFlight.values()) entry.retry?.cancel();
  }

  /** The cluster does not know `session` any more. Nothing is sent until there is another one. */
  sessionLost(session: number): void {
    if (session === this.#session) this.#startSession(0);
  }

  /** Resolves when every commit is answered or after `waitMs`. */
  async drain(waitMs: number): Promise<void> {
    if (this.pending === 0) return;
    await new Promise<void>((resolve) => {
      const timer = this.#c.timers.after(waitMs, resolve);
      this.#idle.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  close(): void {
    this.#closed = true;
    this.#link = undefined;
    const error = new FsError('EIO', 'the client is closed');
    for (const entry of [...this.#inFlight.values(), ...this.#waiting.splice(0)]) {
      entry.retry?.cancel();
      this.#settle(entry, () => entry.reject(error));
    }
  }

  /** What was sent under the session before can have taken effect, what was not cannot. */
  #startSession(session: number): void {
    const before = this.#session;
    this.#session = session;
    const open = [...this.#inFlight.values()];
    this.#inFlight.clear();
    this.#doubtful.clear();
    this.#nextSequence = 1;
    const unsent = open.filter((e) => e.unrefused === 0);
    for (const entry of unsent) {
      resetEntry(entry);
      entry.settled = entry.abandoned;
    }
    this.#waiting.unshift(...unsent.filter((e) => !e.abandoned));
    if (before !== 0) this.#refuseBound();
    const unknown = open.filter((e) => e.unrefused > 0);
    if (unknown.length === 0) return;
    this.unknownFates += unknown.length;
    this.#c.logger.error(
      { session: before, commits: unknown.length, firstOps: unknown[0]?.body.ops.map((o) => o.body?.$case) },
      'session lost with commits in flight: whether they took effect is unknown',
    );
    const error = new FsError(
      'EIO',
      'the session was lost while the commit was in flight; its fate is unknown',
    );
    for (const entry of unknown) {
      entry.retry?.cancel();
      this.#settle(entry, () => entry.reject(error));
    }
  }

  /** Not sent, and of no use under another session. */
  #refuseBound(): void {
    const bound = this.#waiting.filter((entry) => entry.body.sameSession === true);
    if (bound.length === 0) return;
    const left = this.#waiting.filter((entry) => entry.body.sameSession !== true);
    this.#waiting.splice(0, this.#waiting.length, ...left);
    const error = new FsError('EIO', 'the session was lost before the commit was sent');
    for (const entry of bound) this.#settle(entry, () => entry.reject(error));
  }

  #pump(): void {
    if (this.#doubtful.size > 0) return;
    while (this.#link !== undefined && this.#link.session === this.#session && this.#waiting.length > 0) {
      const lowest = this.#lowestUnanswered();
      if (this.#nextSequence - lowest >= SESSION_WINDOW_MAX) return;
      const entry = this.#waiting.shift()!;
      entry.session = this.#session;
      entry.sequence = this.#nextSequence;
      const command = this.#encode(entry, lowest);
      if (command.length > COMMAND_BYTES_MAX) {
        this.#settle(entry, () => entry.reject(new FsError('E2BIG', `a commit of ${command.length} bytes`)));
        continue;
      }
      this.#nextSequence++;
      entry.command = command;
      this.#inFlight.set(entry.sequence, entry);
      this.#send(entry);
    }
  }

  #lowestUnanswered(): number {
    for (const sequence of this.#inFlight.keys()) return sequence;
    return this.#nextSequence;
  }

  #encode(entry: Entry, ackedBelow: number): Uint8Array {
    const { ops, preconditions, assumedBlocks, uploadedAt } = entry.body;
    const value = {
      session: entry.session,
      sequence: entry.sequence,
      ackedBelow,
      time: this.#hooks.now(),
      preconditions: preconditions as Precondition[],
      ops: ops as Op[],
      assumedBlocks: assumedBlocks as Uint8Array[],
      uploadedAt,
    };
    return Command.encode({ body: { $case: 'commit', value } }).finish();
  }

  #send(entry: Entry): void {
    const link = this.#link;
    if (link === undefined || entry.settled || entry.command === undefined) return;
    entry.retry?.cancel();
    entry.retry = undefined;
    entry.release ??= this.#hooks.onSend(entry.body);
    entry.sends++;
    entry.unrefused++;
    if (entry.sends > 1) this.resends++;
    entry.lastSend = ++this.#sends;
    entry.link = link;
    entry.token = entry.sends === 1 ? this.#hooks.cacheToken() : undefined;
    const body = { $case: 'commit' as const, value: { command: entry.command } };
    link.connection.call(body, { timeoutMs: CLIENT_CALL_TIMEOUT_MS }).then(
      (reply) => this.#onReply(entry, link, reply),
      (error: unknown) => this.#onFailure(entry, link, error),
    );
  }

  #onReply(entry: Entry, link: LeaderLink, reply: MetaPush): void {
    if (entry.settled) return;
    switch (reply.$case) {
      case 'commit':
        if (reply.value.body?.$case === 'sessionUnknown') this.#onSessionUnknown(entry, link);
        else this.#answered(entry, reply.value);
        return;
      case 'notLeader':
        this.#hooks.onNotLeader(link, reply.value);
        return;
      case 'error': {
        const { errno, message } = reply.value;
        if (errno === ERRNO.EAGAIN) this.#refused(entry, link);
        else this.#settle(entry, () => entry.reject(new FsError(errnoName(errno), message)));
        return;
      }
      default:
        this.#settle(entry, () => entry.reject(new FsError('EIO', `a commit answered with ${reply.$case}`)));
    }
  }

  /** The server did not put it into the log. (NotLeader does not say that: leadership may have been lost after that.) */
  #refused(entry: Entry, link: LeaderLink): void {
    entry.unrefused--;
    if (entry.abandoned && entry.unrefused === 0) this.#drop(entry);
    else this.#retryLater(entry, link);
  }

  #answered(entry: Entry, result: CommitResult): void {
    this.#hooks.onAnswer(entry.body, result, entry.token, entry.abandoned);
    this.#settle(entry, () => entry.resolve(result));
  }

  #onFailure(entry: Entry, link: LeaderLink, error: unknown): void {
    if (entry.settled || entry.link !== link) return;
    if (!(error instanceof RpcError) || error.code === 'protocol') {
      this.#c.logger.error({ err: error, sequence: entry.sequence }, 'a commit could not be sent');
      this.#settle(entry, () =>
        entry.reject(new FsError('EIO', 'the commit could not be sent', { cause: error })),
      );
    } else if (link !== this.#link) {
      // Sent again as soon as there is a leader.
    } else if (error.code === 'unavailable') {
      this.#hooks.onBroken(link, error.message);
    } else {
      this.#retryLater(entry, link);
    }
  }

  #retryLater(entry: Entry, link: LeaderLink): void {
    if (link !== this.#link || entry.link !== link) return;
    entry.retry?.cancel();
    entry.retry = this.#c.timers.after(entry.backoff.nextMs(), () => {
      entry.retry = undefined;
      if (this.#link === link) this.#send(entry);
    });
  }

  /**
   * Nothing was applied by this send; so if it was the only one, the commit may go out under a new session. The same holds
   * for what was sent after it on this stream for the first time: the log has it later, and sessions do not come back.
   */
  #onSessionUnknown(entry: Entry, link: LeaderLink): void {
    entry.unrefused--;
    for (const e of this.#inFlight.values()) {
      if (e.link === link && e.lastSend >= entry.lastSend && e.sends === 1) e.unrefused = 0;
    }
    if (entry.session === this.#session) this.#startSession(0);
    this.#hooks.onSessionUnknown(link);
  }

  /** The caller has gone. A commit that has not taken effect is forgotten; one that may have, or may yet, is pursued. */
  #abandon(entry: Entry): void {
    entry.abandoned = true;
    if (entry.sequence !== 0) {
      if (entry.unrefused === 0) this.#drop(entry);
      else this.#doubtful.add(entry);
      return;
    }
    const at = this.#waiting.indexOf(entry);
    if (at >= 0) this.#waiting.splice(at, 1);
    entry.settled = true;
    this.#notifyIdle();
  }

  #drop(entry: Entry): void {
    entry.retry?.cancel();
    this.#settle(entry, () => undefined);
  }

  #settle(entry: Entry, tell: () => void): void {
    entry.settled = true;
    entry.release?.();
    this.#doubtful.delete(entry);
    if (entry.sequence !== 0 && this.#inFlight.get(entry.sequence) === entry) {
      this.#inFlight.delete(entry.sequence);
    }
    tell();
    if (!this.#closed) this.#pump();
    this.#notifyIdle();
  }

  #notifyIdle(): void {
    if (this.pending > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}

function resetEntry(entry: Entry): void {
  entry.release?.();
  entry.release = undefined;
  entry.sequence = 0;
  entry.session = 0;
  entry.command = undefined;
  entry.sends = 0;
  entry.unrefused = 0;
  entry.link = undefined;
  entry.token = undefined;
  entry.retry?.cancel();
  entry.retry = undefined;
  entry.backoff.reset();
}
