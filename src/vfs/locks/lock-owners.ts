import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import { LOCK_OWNERS_MAX } from '../../base/limits.ts';
import type { Lock } from '../../core/namespace/locks/ranges.ts';
import type { FileHandle, LockRequest } from '../../ports/file-system.ts';
import type { InodeState } from '../inode-state.ts';

/** What one owner has locked in one inode, by fcntl(2) or by flock(2). */
export class LockOwner {
  readonly state: InodeState;
  /** The owner's number within the session; the same in all inodes, so that the servers see who waits for whom. */
  readonly id: number;
  readonly flock: boolean;
  /** Where it is to be found in the table. */
  readonly key: string;
  /** Through which descriptors. */
  readonly handles = new Set<FileHandle>();
  /** Calls under way. */
  users = 0;
  /** Locks are being given back; what comes next waits for it. */
  releasing: Promise<void> | undefined;
  /** It may have more than `held` says: a call got no answer. */
  uncertain = false;
  #held: readonly Lock[] = [];

  constructor(state: InodeState, id: number, flock: boolean, key: string) {
    this.state = state;
    this.id = id;
    this.flock = flock;
    this.key = key;
  }

  get ino(): Ino {
    return this.state.ino;
  }

  get held(): readonly Lock[] {
    return this.#held;
  }

  get exclusive(): boolean {
    return this.#held.some((lock) => lock.exclusive);
  }

  /** Nothing is locked, as far as is known and not known. */
  get idle(): boolean {
    return this.#held.length === 0 && !this.uncertain;
  }

  holds(locks: readonly Lock[]): void {
    const before = this.exclusive;
    this.#held = locks;
    this.state.exclusiveLocks += Number(this.exclusive) - Number(before);
  }

  /** Everything it had is gone. */
  lose(): void {
    this.holds([]);
    this.uncertain = false;
  }
}

/** Owners that have locks, or are about to. */
export class LockOwners {
  /** By inode, then by the kernel's number. */
  readonly #inodes = new Map<Ino, Map<string, LockOwner>>();
  readonly #ids = new Map<string, { readonly id: number; inodes: number }>();
  #lastId = 0;
  #count = 0;

  get(ino: Ino, flock: boolean, owner: bigint): LockOwner | undefined {
    return this.#inodes.get(ino)?.get(keyOf(flock, owner));
  }

  /** Throws ENOLCK. */
  ensure(state: InodeState, { flock, owner }: Pick<LockRequest, 'flock' | 'owner'>): LockOwner {
    const known = this.get(state.ino, flock, owner);
    if (known !== undefined) return known;
    if (this.#count >= LOCK_OWNERS_MAX) throw new FsError('ENOLCK', 'too many owners of locks');
    const key = keyOf(flock, owner);
    const name = this.#ids.get(key) ?? { id: ++this.#lastId, inodes: 0 };
    this.#ids.set(key, name);
    name.inodes++;
    this.#count++;
    const made = new LockOwner(state, name.id, flock, key);
    const ofInode = this.#inodes.get(state.ino) ?? new Map<string, LockOwner>();
    this.#inodes.set(state.ino, ofInode.set(key, made));
    return made;
  }

  /** Forgets an owner that has nothing and does nothing. The kernel may give its number to another process. */
  collect(owner: LockOwner): void {
    if (!owner.idle || owner.users > 0 || owner.releasing !== undefined) return;
    const ofInode = this.#inodes.get(owner.ino);
    if (ofInode?.get(owner.key) !== owner) return;
    ofInode.delete(owner.key);
    if (ofInode.size === 0) this.#inodes.delete(owner.ino);
    this.#count--;
    const name = this.#ids.get(owner.key);
    if (name !== undefined && --name.inodes === 0) this.#ids.delete(owner.key);
  }

  ofInode(ino: Ino): LockOwner[] {
    return [...(this.#inodes.get(ino)?.values() ?? [])];
  }

  all(): LockOwner[] {
    return [...this.#inodes.values()].flatMap((owners) => [...owners.values()]);
  }
}

function keyOf(flock: boolean, owner: bigint): string {
  return `${flock ? 'f' : 'p'}${owner}`;
}
