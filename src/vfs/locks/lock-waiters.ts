import type { Ino } from '../../base/ids.ts';
import { LOCK_POLL_MS } from '../../base/limits.ts';
import type { TimerHandle, Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';
import type { LockEvent, MetaService } from '../../ports/meta-service.ts';

/** How waiting for a lock ended. `lost`: with the session. */
export type WaitEnd = 'granted' | 'lost' | 'cancelled';

interface Waiter {
  readonly ino: Ino;
  readonly ticket: number;
  readonly end: (how: WaitEnd) => void;
  /** The servers have it in line: from now on "not in line" means granted. */
  inLine: boolean;
  poll: TimerHandle | undefined;
}

export interface LockWaitersComponents {
  readonly meta: Pick<MetaService, 'lockWaits'>;
  readonly timers: Timers;
  readonly logger: Logger;
}

/**
 * Requests for locks that may have to wait, by ticket. The servers push the grant; since a push can get lost with its stream,
 * they are asked after each reconnection and now and then.
 */
export class LockWaiters {
  readonly #c: LockWaitersComponents;
  readonly #waiters = new Map<number, Waiter>();
  #lastTicket = 0;
  #reconnections = 0;

  constructor(components: LockWaitersComponents) {
    this.#c = components;
  }

  newTicket(): number {
    return ++this.#lastTicket;
  }

  /** To be called before the request is sent: its grant may come before its answer. */
  add(ino: Ino, ticket: number): { readonly ended: Promise<WaitEnd>; readonly inLine: () => void } {
    let end: (how: WaitEnd) => void = () => undefined;
    const ended = new Promise<WaitEnd>((resolve) => {
      end = resolve;
    });
    const waiter: Waiter = { ino, ticket, end, inLine: false, poll: undefined };
    this.#waiters.set(ticket, waiter);
    const since = this.#reconnections;
    const inLine = (): void => {
      if (this.#waiters.get(ticket) !== waiter) return;
      waiter.inLine = true;
      // The answer may be from before a grant that was pushed to the stream before this one.
      if (this.#reconnections !== since) this.#ask(waiter);
      else this.#arm(waiter);
    };
    return { ended, inLine };
  }

  end(ticket: number, how: WaitEnd): void {
    const waiter = this.#waiters.get(ticket);
    if (waiter === undefined) return;
    this.#waiters.delete(ticket);
    waiter.poll?.cancel();
    waiter.end(how);
  }

  onEvent(event: LockEvent): void {
    switch (event.type) {
      case 'granted':
        this.end(event.ticket, 'granted');
        return;
      case 'reconnected':
        this.#reconnections++;
        for (const waiter of this.#waiters.values()) if (waiter.inLine) this.#ask(waiter);
        return;
      case 'lost':
        this.endAll();
    }
  }

  endAll(): void {
    for (const ticket of [...this.#waiters.keys()]) this.end(ticket, 'lost');
  }

  #arm(waiter: Waiter): void {
    waiter.poll?.cancel();
    waiter.poll = this.#c.timers.after(LOCK_POLL_MS, () => this.#ask(waiter));
  }

  #ask(waiter: Waiter): void {
    waiter.poll?.cancel();
    const isCurrent = (): boolean => this.#waiters.get(waiter.ticket) === waiter;
    this.#c.meta.lockWaits(waiter.ino, waiter.ticket).then(
      (waits) => {
        if (!isCurrent()) return;
        if (waits) this.#arm(waiter);
        else this.end(waiter.ticket, 'granted');
      },
      (error: unknown) => {
        this.#c.logger.debug({ err: error, ino: waiter.ino }, 'not learned whether a lock was granted');
        if (isCurrent()) this.#arm(waiter);
      },
    );
  }
}
