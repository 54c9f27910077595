import { FsError } from '../base/errno.ts';
import { FOLLOWER_READ_MS_MAX, FOLLOWER_READ_TRIES_MAX } from '../base/limits.ts';
import type { ReadPoint } from '../gen/ringfs/v1/meta.ts';
import type { Timers } from '../ports/clock.ts';
import { NotLeaderError, type Replica } from './replica.ts';

/** Rejects when that server does not answer, or does not lead. */
export type AskLeader = (address: string) => Promise<ReadPoint>;

export interface UnleasedReadsComponents {
  readonly replica: Replica;
  readonly timers: Timers;
  /** The read point of this server, when it leads. */
  readonly ownPoint: () => Promise<ReadPoint> | undefined;
  readonly askLeader: AskLeader | undefined;
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown };

/**
 * Linearizable reads that lease nothing, at any member. A follower asks the leader, which makes sure that it leads and waits until the
 * recalls of everything applied so far are confirmed; it waits until it has what the leader had applied, reads, and tells what it
 * found only if that is not ahead of what is settled: telling of a commit that another client may still not see would
 * undo what that client's read lease promises it.
 */
export class UnleasedReads {
  readonly #c: UnleasedReadsComponents;
  /** A reader may only use a point that was asked for after it came, so those who come meanwhile share the next one. */
  #current: Promise<ReadPoint> | undefined;
  #next: Promise<ReadPoint> | undefined;

  constructor(components: UnleasedReadsComponents) {
    this.#c = components;
  }

  /** Throws what `read` throws, NotLeaderError when there is no leader to ask, FsError EAGAIN. */
  async read<T>(read: () => Promise<T>): Promise<T> {
    const { replica } = this.#c;
    for (let tries = 0; tries < FOLLOWER_READ_TRIES_MAX; tries++) {
      const { settled } = await this.#point();
      const before = replica.visibleIndex();
      // Nothing is being written from here on if the mark is the same afterwards: all rows were those of one moment.
      await replica.reached(before);
      const outcome = await outcomeOf(read());
      if (replica.visibleIndex() !== before || before > settled) continue;
      if ('error' in outcome) throw outcome.error;
      return outcome.value;
    }
    throw new FsError('EAGAIN', 'the state changes faster than it can be read here');
  }

  #point(): Promise<ReadPoint> {
    if (this.#current === undefined) return this.#begin();
    this.#next ??= this.#current.then(
      () => this.#begin(),
      () => this.#begin(),
    );
    return this.#next;
  }

  #begin(): Promise<ReadPoint> {
    this.#next = undefined;
    const current = this.#ask().finally(() => {
      if (this.#current === current) this.#current = undefined;
    });
    this.#current = current;
    return current;
  }

  /** A point that this replica has reached. */
  async #ask(): Promise<ReadPoint> {
    const { replica, timers, ownPoint, askLeader } = this.#c;
    const own = ownPoint();
    if (own !== undefined) return await own;
    const leader = replica.leader();
    if (leader === undefined || leader.id === replica.id || askLeader === undefined) {
      throw new NotLeaderError(leader);
    }
    let point: ReadPoint;
    try {
      point = await askLeader(leader.address);
    } catch (cause) {
      throw new FsError('EAGAIN', `${leader.id}, which leads, does not answer this replica`, { cause });
    }
    const over = new AbortController();
    const late = timers.sleep(FOLLOWER_READ_MS_MAX, over.signal).then(() => {
      throw new FsError('EAGAIN', `this replica does not get what the leader has (index ${point.index})`);
    });
    late.catch(() => undefined);
    try {
      await Promise.race([replica.reached(point.index), late]);
    } finally {
      over.abort(new Error('over'));
    }
    return point;
  }
}

async function outcomeOf<T>(work: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await work };
  } catch (error) {
    return { error };
  }
}
