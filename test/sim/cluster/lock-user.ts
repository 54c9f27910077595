import { asFsError } from '../../../src/base/errno.ts';
import type { Ino } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import type { MetaClient } from '../../../src/client/meta-client.ts';
import { LOCK_END_MAX, rangeMessage } from '../../../src/core/namespace/locks/ranges.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../../../src/core/namespace/ops/lock.ts';
import { LockOutcome, type Op } from '../../../src/gen/ringfs/v1/namespace.ts';
import { LockWaiters } from '../../../src/vfs/locks/lock-waiters.ts';
import { SimLogger, type SimProcess } from '../harness/world.ts';
import type { ClusterChecks } from './checks.ts';
import type { Histories, OpenOperation } from './histories.ts';
import type { SimWorld } from './world.ts';

export interface LockUserComponents {
  readonly world: SimWorld;
  readonly checks: ClusterChecks;
  readonly histories: Histories;
  readonly client: MetaClient;
  readonly process: SimProcess;
  readonly random: Random;
}

interface Owner {
  readonly name: string;
  readonly number: number;
  readonly part: string;
  /** Since when it may have the lock. */
  readonly since: number;
}

const WAIT_MS_MAX = 1_500;
const HOLD_MS_MAX = 300;
const UNLOCK_PAUSE_MS = 200;

/** Takes locks as a mount does and gives them back: with or without waiting, giving up, and asking again when in doubt. */
export class LockUser {
  readonly #c: LockUserComponents;
  readonly #name: string;
  readonly #waiters: LockWaiters;
  readonly #owners = new Set<Owner>();
  #lastOwner = 0;
  #sessionsLost = 0;

  constructor(components: LockUserComponents, name: string) {
    const { client, process } = components;
    this.#c = components;
    this.#name = name;
    this.#waiters = new LockWaiters({ meta: client, timers: process, logger: new SimLogger(process) });
    client.onLocks((event) => {
      this.#waiters.onEvent(event);
      if (event.type !== 'lost') return;
      this.#sessionsLost += 1;
      components.world.counts.sessionsLost += 1;
      this.died();
    });
  }

  /** The session ends at some time, or has ended: nobody knows when the locks were lost. */
  died(): void {
    for (const { part, name, since } of this.#owners) {
      this.#c.histories.begin(part, this.#name, { kind: 'lose', owner: name }, since);
    }
    this.#owners.clear();
  }

  /** Locks `ino` if it can be had, holds it for a while and unlocks it. */
  async use(ino: Ino, who: string): Promise<void> {
    const { histories, random, process } = this.#c;
    const number = ++this.#lastOwner;
    const exclusive = random.below(3) > 0;
    const part = `lock ${ino}`;
    const name = `${this.#name}#${number}`;
    const operation = histories.begin(part, who, { kind: 'lock', owner: name, exclusive });
    const owner: Owner = { name, number, part, since: operation.call };
    const session = this.#sessionsLost;
    this.#owners.add(owner);
    const held = await this.#acquire(ino, owner, exclusive, operation);
    if (held) {
      await process.sleep(random.below(HOLD_MS_MAX));
      // Without a session there is nothing to give back, and `lose` says so.
      while (session === this.#sessionsLost && !(await this.#unlock(ino, owner, who))) {
        await process.sleep(UNLOCK_PAUSE_MS);
      }
    }
    this.#owners.delete(owner);
  }

  /** Whether the owner has the lock, or may have it. */
  async #acquire(ino: Ino, owner: Owner, exclusive: boolean, operation: OpenOperation): Promise<boolean> {
    const waits = this.#c.random.below(2) === 0;
    const ticket = waits ? this.#waiters.newTicket() : 0;
    const wait = waits ? this.#waiters.add(ino, ticket) : undefined;
    try {
      const type = exclusive ? F_WRLCK : F_RDLCK;
      const { outcome, index } = await this.#commit(setLock(ino, owner.number, type, ticket));
      if (outcome === LockOutcome.GRANTED) {
        operation.end('granted', index);
        return true;
      }
      if (outcome === LockOutcome.REFUSED) {
        operation.end('refused', index);
        return false;
      }
      wait?.inLine();
      return await this.#await(ino, ticket, wait!.ended, operation);
    } catch (error) {
      if (asFsError(error).code === 'ESTALE') throw error;
      operation.unknown();
      return true;
    } finally {
      this.#waiters.end(ticket, 'cancelled');
    }
  }

  async #await(
    ino: Ino,
    ticket: number,
    ended: Promise<'granted' | 'lost' | 'cancelled'>,
    operation: OpenOperation,
  ): Promise<boolean> {
    const { process, random } = this.#c;
    const patience = process.sleep(random.below(WAIT_MS_MAX)).then(() => 'tired' as const);
    const how = await Promise.race([ended, patience]);
    if (how === 'granted') {
      operation.end('granted');
      return true;
    }
    if (how === 'tired') {
      const { outcome } = await this.#commit({ body: { $case: 'cancelLock', value: { ino, ticket } } });
      if (outcome === LockOutcome.CANCELLED) {
        operation.forget();
        return false;
      }
      operation.end('granted');
      return true;
    }
    operation.unknown();
    return true;
  }

  async #unlock(ino: Ino, owner: Owner, who: string): Promise<boolean> {
    const operation = this.#c.histories.begin(owner.part, who, { kind: 'unlock', owner: owner.name });
    try {
      const { index } = await this.#commit(setLock(ino, owner.number, F_UNLCK, 0));
      operation.end('done', index);
      return true;
    } catch {
      operation.unknown();
      return false;
    }
  }

  async #commit(op: Op): Promise<{ readonly outcome: LockOutcome | undefined; readonly index: number }> {
    // A lock belongs to the session that asked for it.
    const ok = await this.#c.client.commit([op], { sameSession: true });
    this.#c.checks.acknowledged(this.#name, ok.index);
    return { outcome: ok.results[0]?.lock, index: ok.index };
  }
}

function setLock(ino: number, owner: number, type: number, ticket: number): Op {
  const range = rangeMessage(0n, LOCK_END_MAX);
  return { body: { $case: 'setLock', value: { ino, flock: true, owner, range, type, pid: 1, ticket } } };
}
