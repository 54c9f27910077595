import { FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import type { DirEntry, StatFsReply } from '../gen/ringfs/v1/meta.ts';
import type { Attr, Chunk, CommitOk, Op, Precondition, SetLock } from '../gen/ringfs/v1/namespace.ts';
import type { Instant } from './clock.ts';

/** An inode changed through another client: whatever was derived from versions before `version` is stale. */
export interface InodeChange {
  readonly ino: Ino;
  readonly version: number;
  readonly dataChanged: boolean;
  readonly removed: boolean;
}

/** What happens to this client's locks without its doing. */
export type LockEvent =
  /** A SetLock with this ticket that had to wait has its lock. */
  | { readonly type: 'granted'; readonly ino: number; readonly ticket: number }
  /** There was a time in which `granted` could get lost. */
  | { readonly type: 'reconnected' }
  /** The session has ended, and with it all of its locks and tickets. */
  | { readonly type: 'lost' };

/**
 * The metadata cluster as a client sees it. Reads are linearizable: they come from the leader or from state leased
 * by it. Every method throws FsError; ETIMEDOUT after the configured wait without a leader, EINTR when `signal` is
 * aborted. A commit that was sent is retried under its sequence until its fate is known, so it takes effect at most once
 * and an ETIMEDOUT of a commit means that its fate is unknown; if it takes effect after all, then before every commit that
 * is made after the ETIMEDOUT.
 */
export interface MetaService {
  /** Undefined: no such entry. Throws ENOTDIR, ESTALE. */
  lookup(parent: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Attr | undefined>;
  /** Throws ESTALE when the inode is gone. */
  getattr(ino: Ino, signal?: AbortSignal): Promise<Attr>;
  /** Entries with names greater than `after`, in byte order, without `.` and `..`. */
  readdir(
    ino: Ino,
    after: Uint8Array,
    limit: number,
    withAttrs: boolean,
    signal?: AbortSignal,
  ): Promise<{ entries: readonly DirEntry[]; end: boolean; attr: Attr }>;
  /** The chunk rows that exist in [first, first + count), and the attributes of the same moment. */
  getChunks(
    ino: Ino,
    first: number,
    count: number,
    signal?: AbortSignal,
  ): Promise<{ chunks: readonly Chunk[]; attr: Attr }>;
  /** Index of the first chunk row from `first` on that exists; undefined: there is none. Throws ESTALE. */
  nextChunk(ino: Ino, first: number, signal?: AbortSignal): Promise<number | undefined>;
  /** Throws ENODATA. */
  getxattr(ino: Ino, name: Uint8Array, signal?: AbortSignal): Promise<Uint8Array>;
  listxattr(ino: Ino, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  statfs(signal?: AbortSignal): Promise<StatFsReply>;

  /**
   * Applies `ops` atomically. Throws FsError with the errno of the op that failed, or PreconditionFailed. `onMissing`
   * is called when blocks named in `assumedBlocks` are not stored: upload them, then the commit is tried again. Without it,
   * and when blocks that `ops` name were uploaded so early that they may have been deleted, throws BlocksMissing.
   */
  commit(ops: readonly Op[], options?: CommitOptions): Promise<CommitOk & { readonly index: number }>;

  /** A lock that keeps `wanted` from being granted. Throws EINVAL. */
  getLock(
    wanted: SetLock,
    signal?: AbortSignal,
  ): Promise<{ readonly held: SetLock; readonly ownSession: boolean } | undefined>;
  /** Whether a SetLock that had to wait still does. */
  lockWaits(ino: Ino, ticket: number, signal?: AbortSignal): Promise<boolean>;
  /** Called synchronously. */
  onLocks(listener: (event: LockEvent) => void): void;

  /** The highest commit index known here. What is uploaded with it is safe from all deletions decided up to it. */
  seenIndex(): number;
  /** The cluster's time as estimated here; stamps operations, so that times from different machines compare. */
  now(): Instant;
  /** Called synchronously for every change made through another client, before that change is acknowledged there, and
   * with `undefined` when everything may have changed (the lease was lost). */
  onChange(listener: (change: readonly InodeChange[] | undefined) => void): void;
  /** Asked which of these unlinked inodes are still open here; their content is kept while they are. */
  setOpenInodesProbe(probe: (inos: readonly Ino[]) => readonly Ino[]): void;
  close(): Promise<void>;
}

export interface CommitOptions {
  /** `seenIndex` from before the first of the blocks that `ops` name was put; 0 without. */
  readonly uploadedAt?: number;
  readonly preconditions?: readonly Precondition[];
  readonly assumedBlocks?: readonly Uint8Array[];
  readonly onMissing?: (blockIds: readonly Uint8Array[]) => Promise<void>;
  readonly signal?: AbortSignal;
  /** Throws EIO when the session ends before the commit has taken effect: it relies on a lock of the session. */
  readonly sameSession?: boolean;
}

/** Blocks that a commit names may have been deleted: they have to be put again. Nothing was applied. */
export class BlocksMissing extends FsError {
  constructor(count: number) {
    super('EAGAIN', `${count} blocks of the commit have to be stored again`);
  }
}

/** A precondition of a commit does not hold; `current` says what does. Nothing was applied. */
export class PreconditionFailed extends Error {
  override readonly name = 'PreconditionFailed';
  readonly current: readonly Precondition[];
  constructor(current: readonly Precondition[]) {
    super('a precondition of the commit does not hold');
    this.current = current;
  }
}
