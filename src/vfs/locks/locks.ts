import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import { LOCK_CANCEL_WAIT_MS, LOCK_OWNERS_MAX, LOCK_RELEASE_RETRY_MS } from '../../base/limits.ts';
import {
  LOCK_END_MAX,
  type Lock,
  rangeMessage,
  rangeOf,
  withLock,
  withoutRange,
} from '../../core/namespace/locks/ranges.ts';
import { F_RDLCK, F_UNLCK, F_WRLCK } from '../../core/namespace/ops/lock.ts';
import { LockOutcome, type Op, type SetLock } from '../../gen/ringfs/v1/namespace.ts';
import type { FileHandle, HeldLock, LockRequest } from '../../ports/file-system.ts';
import type { LockEvent } from '../../ports/meta-service.ts';
import type { VfsCore } from '../core.ts';
import type { OpenFile } from '../handle-table.ts';
import type { InodeState } from '../inode-state.ts';
import * as op from '../ops/op.ts';
import { interruptible } from '../wait.ts';
import type { WriteBack } from '../write-back.ts';
import { type LockOwner, LockOwners } from './lock-owners.ts';
import { LockWaiters } from './lock-waiters.ts';

const WHOLE = { first: 0n, last: LOCK_END_MAX };

/**
 * Advisory locks of this mount's processes. They are held in the cluster; here is remembered who may hold what, so that the
 * close of a file that nobody locked costs nothing, and so that locks are given back even when the servers are gone for a while.
 *
 * What is written under a lock is stored before the lock is given back, and the kernel has dropped what others changed before
 * a lock is reported as taken: whoever locks sees what was written under the locks before.
 */
export class Locks {
  readonly #core: VfsCore;
  readonly #writeBack: WriteBack;
  readonly #owners = new LockOwners();
  readonly #waiters: LockWaiters;
  /** Inodes that were locked, the latest last. */
  readonly #used = new Set<Ino>();
  /** Counts sessions: locks are of the one in which they were taken. */
  #epoch = 0;
  #closed = false;

  constructor(core: VfsCore, writeBack: WriteBack) {
    this.#core = core;
    this.#writeBack = writeBack;
    this.#waiters = new LockWaiters(core);
    core.meta.onLocks((event) => this.#onEvent(event));
  }

  /** Whether the file was locked here, not too long ago. */
  used(ino: Ino): boolean {
    return this.#used.has(ino);
  }

  async get(handle: FileHandle, request: LockRequest, signal?: AbortSignal): Promise<HeldLock | undefined> {
    const file = this.#usable(handle);
    const { ino } = file.state;
    // A number that no owner has stands for one who has locked nothing here.
    const id = this.#owners.get(ino, request.flock, request.owner)?.id ?? 0;
    const found = await this.#core.meta.getLock(lockMessage(ino, id, request), signal);
    const range = rangeOf(found?.held.range);
    if (found === undefined || range === undefined) return undefined;
    const type = found.held.type === F_WRLCK ? 'write' : 'read';
    return { type, ...range, pid: found.ownSession ? found.held.pid : 0 };
  }

  async set(handle: FileHandle, request: LockRequest, wait: boolean, signal?: AbortSignal): Promise<void> {
    const file = this.#usable(handle);
    const owner = this.#owners.ensure(file.state, request);
    owner.handles.add(handle);
    this.#noteUse(file.state.ino);
    owner.users++;
    try {
      while (owner.releasing !== undefined) await interruptible(owner.releasing, signal);
      if (request.type === 'unlock') await this.#unlock(owner, request, signal);
      else await this.#lock(file, owner, request, wait, signal);
    } finally {
      owner.users--;
      this.#owners.collect(owner);
    }
  }

  /** close(2) of a descriptor by the process `lockOwner`. Undefined: it had locked nothing. */
  closed(state: InodeState, lockOwner: bigint): Promise<void> | undefined {
    const owner = this.#owners.get(state.ino, false, lockOwner);
    if (owner === undefined || (owner.idle && owner.users === 0)) return owner?.releasing;
    owner.handles.clear();
    return this.#releaseAll(owner);
  }

  /** The last descriptor of an open file is gone: what was locked through it alone goes too. Never rejects. */
  async released(ino: Ino, handle: FileHandle): Promise<void> {
    const released: Promise<void>[] = [];
    for (const owner of this.#owners.ofInode(ino)) {
      if (owner.handles.delete(handle) && owner.handles.size === 0 && !owner.idle) {
        released.push(this.#releaseAll(owner));
      }
    }
    await Promise.all(released);
  }

  /** The session is about to end, which gives everything back. */
  close(): void {
    this.#closed = true;
    this.#waiters.endAll();
  }

  /** Throws EBADF, EIO. */
  #usable(handle: FileHandle): OpenFile {
    const file = this.#core.handles.file(handle);
    if (file.locksLost) throw new FsError('EIO', 'locks of this descriptor were lost');
    return file;
  }

  #noteUse(ino: Ino): void {
    this.#used.delete(ino);
    this.#used.add(ino);
    if (this.#used.size <= LOCK_OWNERS_MAX) return;
    for (const oldest of this.#used) {
      this.#used.delete(oldest);
      break;
    }
  }

  // Taking --------------------------------------------------------------------------------------------------

  async #lock(
    file: OpenFile,
    owner: LockOwner,
    request: LockRequest,
    wait: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const lock: Lock = {
      session: 0,
      owner: owner.id,
      flock: owner.flock,
      exclusive: request.type === 'write',
      first: request.first,
      last: request.last,
      pid: request.pid,
      ticket: wait ? this.#waiters.newTicket() : 0,
    };
    // Others may get in when an exclusive lock becomes a shared one.
    if (owner.exclusive && (!lock.exclusive || lock.flock)) await this.#publish(owner.state, signal);
    const before = owner.held;
    const fate = this.#acquire(file, owner, lock, signal);
    let outcome: LockOutcome;
    try {
      outcome = await interruptible(fate, signal);
    } catch (error) {
      if (signal?.aborted !== true) {
        if (isUnknown(error)) this.#inBackground(owner, this.#undo(file, owner, lock, before));
        throw error;
      }
      outcome = await this.#withdraw(file, owner, lock, before, fate);
    }
    if (outcome === LockOutcome.REFUSED) throw new FsError('EAGAIN', 'locked');
    if (outcome === LockOutcome.DEADLOCK) throw new FsError('EDEADLK');
    if (outcome !== LockOutcome.GRANTED) throw new FsError('EIO', `a lock was answered with ${outcome}`);
    await this.#core.kernel.told();
    if (file.locksLost) throw new FsError('EIO', 'the lock was lost at once');
  }

  /** Resolves when the lock is granted or refused. With a new session it begins anew, unless something was lost. */
  async #acquire(
    file: OpenFile,
    owner: LockOwner,
    lock: Lock,
    signal: AbortSignal | undefined,
  ): Promise<LockOutcome> {
    const { ino } = owner;
    const type = lock.exclusive ? 'write' : 'read';
    const request = op.setLock(lockMessage(ino, owner.id, { ...lock, type }, lock.ticket));
    for (;;) {
      const epoch = this.#epoch;
      const waiter = lock.ticket === 0 ? undefined : this.#waiters.add(ino, lock.ticket);
      try {
        let outcome = await this.#send(request);
        if (epoch === this.#epoch) {
          // flock(2) gives up what it had before it waits.
          if (lock.flock && outcome !== LockOutcome.GRANTED) owner.holds([]);
          if (outcome === LockOutcome.WAITING && waiter !== undefined) {
            waiter.inLine();
            const end = await waiter.ended;
            if (end === 'cancelled') throw new FsError('EINTR');
            if (end === 'granted') outcome = LockOutcome.GRANTED;
          }
        }
        if (epoch === this.#epoch) {
          if (outcome === LockOutcome.GRANTED) owner.holds(withLock(owner.held, lock));
          return outcome;
        }
      } catch (error) {
        if (epoch === this.#epoch) throw error;
      } finally {
        this.#waiters.end(lock.ticket, 'lost');
      }
      if (signal?.aborted) throw new FsError('EINTR');
      if (file.locksLost || this.#closed) throw new FsError('EIO', 'the session was lost');
    }
  }

  /**
   * The caller got a signal. Takes the request back; but a lock that has been granted by then is kept and reported, since
   * nothing tells what the owner had before.
   */
  async #withdraw(
    file: OpenFile,
    owner: LockOwner,
    lock: Lock,
    before: readonly Lock[],
    fate: Promise<LockOutcome>,
  ): Promise<LockOutcome> {
    const left = this.#leave(owner, lock, fate);
    const timer = new AbortController();
    const late = this.#core.timers.sleep(LOCK_CANCEL_WAIT_MS, timer.signal).then(
      () => 'late' as const,
      () => 'late' as const,
    );
    const outcome = await Promise.race([left, late]);
    timer.abort();
    if (outcome === 'late') {
      // The servers do not answer. Who is being killed does not wait for them.
      const undone = left.then((how) =>
        how === LockOutcome.GRANTED || how === 'unknown' ? this.#undo(file, owner, lock, before) : undefined,
      );
      this.#inBackground(owner, undone);
    } else if (outcome === 'unknown') {
      this.#inBackground(owner, this.#undo(file, owner, lock, before));
    } else if (outcome !== 'left') {
      return outcome;
    }
    throw new FsError('EINTR');
  }

  /** Leaves the line. Never rejects. */
  async #leave(
    owner: LockOwner,
    lock: Lock,
    fate: Promise<LockOutcome>,
  ): Promise<LockOutcome | 'left' | 'unknown'> {
    const ended = fate.catch((error: unknown) =>
      isUnknown(error) ? ('unknown' as const) : ('left' as const),
    );
    if (lock.ticket === 0) return ended;
    const outcome = await this.#pursue(op.cancelLock({ ino: owner.ino, ticket: lock.ticket }));
    if (outcome === undefined || outcome === LockOutcome.CANCELLED) {
      this.#waiters.end(lock.ticket, 'cancelled');
      return 'left';
    }
    // Not in line any more: if it ever was, it got its lock.
    this.#waiters.end(lock.ticket, 'granted');
    return ended;
  }

  /** Makes sure that a lock is not held of which its owner was told nothing. */
  async #undo(file: OpenFile, owner: LockOwner, lock: Lock, before: readonly Lock[]): Promise<void> {
    owner.uncertain = true;
    // What it had there is not known any more: nothing may be done relying on it.
    const replaced = before.some((own) => own.first <= lock.last && lock.first <= own.last);
    if (replaced) file.locksLost = true;
    if (lock.ticket !== 0) await this.#pursue(op.cancelLock({ ino: owner.ino, ticket: lock.ticket }));
    const range = replaced ? WHOLE : lock;
    await this.#pursue(op.setLock(lockMessage(owner.ino, owner.id, { ...unlockOf(owner), ...range })));
    owner.holds(withoutRange(owner.held, { ...lock, ...range }));
    owner.uncertain = false;
  }

  // Giving back ---------------------------------------------------------------------------------------------

  async #unlock(owner: LockOwner, request: LockRequest, signal: AbortSignal | undefined): Promise<void> {
    if (owner.idle && owner.users === 1) return;
    await this.#publish(owner.state, signal);
    try {
      await this.#send(op.setLock(lockMessage(owner.ino, owner.id, request)), signal);
    } catch (error) {
      owner.uncertain ||= isUnknown(error);
      throw error;
    }
    const { first, last } = request;
    owner.holds(withoutRange(owner.held, { session: 0, owner: owner.id, flock: owner.flock, first, last }));
  }

  /** What was written is stored, as far as it can be: an error is told by the next write, fsync or close. */
  async #publish(state: InodeState, signal?: AbortSignal): Promise<void> {
    if (!state.dirty || state.removed) return;
    try {
      await interruptible(this.#writeBack.flush(state), signal);
    } catch (error) {
      if (signal?.aborted === true) throw error;
    }
  }

  /** Gives back everything that the owner has in the inode, however long it takes. */
  #releaseAll(owner: LockOwner): Promise<void> {
    const release = async (): Promise<void> => {
      if (owner.state.dirty) await this.#publish(owner.state);
      // Before it is sent: what another thread is granted after that is kept.
      owner.holds([]);
      owner.uncertain = true;
      await this.#pursue(op.setLock(lockMessage(owner.ino, owner.id, unlockOf(owner))));
      owner.uncertain = false;
    };
    const before = owner.releasing;
    const released = before === undefined ? release() : before.then(release);
    this.#inBackground(owner, released);
    return released;
  }

  /** Calls of the owner wait for `work`, which never rejects. */
  #inBackground(owner: LockOwner, work: Promise<void>): void {
    const before = owner.releasing ?? Promise.resolve();
    const all: Promise<void> = Promise.all([before, work]).then(
      () => this.#backgroundDone(owner, all),
      (error: unknown) => {
        this.#core.logger.error({ err: error, ino: owner.ino }, 'giving back a lock failed');
        this.#backgroundDone(owner, all);
      },
    );
    owner.releasing = all;
  }

  #backgroundDone(owner: LockOwner, work: Promise<void>): void {
    if (owner.releasing === work) owner.releasing = undefined;
    this.#owners.collect(owner);
  }

  // The servers -----------------------------------------------------------------------------------------------

  async #send(request: Op, signal?: AbortSignal): Promise<LockOutcome> {
    const { results } = await this.#core.meta.commit([request], {
      sameSession: true,
      ...(signal === undefined ? {} : { signal }),
    });
    return results[0]?.lock ?? LockOutcome.UNSPECIFIED;
  }

  /** Sends what takes locks away until it is answered or the session has ended, which does the same. Never rejects. */
  async #pursue(request: Op): Promise<LockOutcome | undefined> {
    const epoch = this.#epoch;
    while (epoch === this.#epoch && !this.#closed) {
      try {
        return await this.#send(request);
      } catch (error) {
        this.#core.logger.debug({ err: error }, 'a lock is not given back yet');
      }
      if (epoch !== this.#epoch) break;
      await this.#core.timers.sleep(LOCK_RELEASE_RETRY_MS);
    }
    return undefined;
  }

  #onEvent(event: LockEvent): void {
    if (event.type === 'lost') this.#sessionLost();
    this.#waiters.onEvent(event);
  }

  /** Others may have had the locks meanwhile. What relied on them must neither be written nor go on unnoticed. */
  #sessionLost(): void {
    this.#epoch++;
    const inos = new Set<Ino>();
    for (const owner of this.#owners.all()) {
      if (owner.idle) continue;
      inos.add(owner.ino);
      for (const handle of owner.handles) {
        const file = this.#core.handles.openFile(handle);
        if (file !== undefined) file.locksLost = true;
      }
      if (owner.exclusive) this.#dropWritten(owner.state);
      owner.lose();
      this.#owners.collect(owner);
    }
    if (inos.size > 0) {
      this.#core.logger.error({ files: inos.size }, 'the session was lost, and with it locks on files');
    }
  }

  #dropWritten(state: InodeState): void {
    if (!state.dirty) return;
    const error = new FsError('EIO', 'the lock under which it was written was lost');
    state.recordError(error);
    const bytes = state.dropAll();
    this.#core.budget.release(bytes);
    this.#core.kernel.dropPages(state.ino);
    this.#core.logLoss(state, bytes, error);
  }
}

const TYPES = { read: F_RDLCK, write: F_WRLCK, unlock: F_UNLCK } as const;

type Wanted = Pick<LockRequest, 'flock' | 'type' | 'first' | 'last' | 'pid'>;

function lockMessage(ino: Ino, owner: number, wanted: Wanted, ticket = 0): SetLock {
  const { flock, type, first, last, pid } = wanted;
  return { ino, flock, owner, range: rangeMessage(first, last), type: TYPES[type], pid, ticket };
}

function unlockOf(owner: LockOwner): Wanted {
  return { flock: owner.flock, type: 'unlock', pid: 0, ...WHOLE };
}

/** The request may have taken effect. */
function isUnknown(error: unknown): boolean {
  return !(error instanceof FsError) || ['ETIMEDOUT', 'EIO', 'EINTR'].includes(error.code);
}
