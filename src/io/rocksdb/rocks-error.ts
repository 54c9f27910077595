import { FsError } from '../../base/errno.ts';

/** A store that cannot be opened or trusted; the message says what a person can do about it. */
export class StoreUnusableError extends Error {
  override readonly name = 'StoreUnusableError';
  /** What is on the disk is wrong. Otherwise another process uses it. */
  readonly damaged: boolean;

  constructor(message: string, options: { readonly damaged: boolean; readonly cause?: unknown }) {
    super(message, { cause: options.cause });
    this.damaged = options.damaged;
  }
}

const NO_SPACE = /no space left|ENOSPC|disk quota exceeded/i;
const LOCKED = /lock .*(resource temporarily unavailable|no locks available)|LOCK: already held/i;
const CORRUPT = /corruption|checksum mismatch|not an sstable|missing files/i;

/** RocksDB's errors have only a text. */
export function mapRocksError(thrown: unknown, directory: string): Error {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  if (NO_SPACE.test(text)) return new FsError('ENOSPC', `${directory}: ${text}`, { cause: thrown });
  if (LOCKED.test(text)) {
    return new StoreUnusableError(`data directory ${directory} is in use by another process`, {
      damaged: false,
      cause: thrown,
    });
  }
  if (CORRUPT.test(text)) {
    return new StoreUnusableError(
      `data directory ${directory} is corrupt (${text}): check the disk and restore the server's data ` +
        `directory from a backup. Only block/index may be removed instead: it is built again from the segments`,
      { damaged: true, cause: thrown },
    );
  }
  return new FsError('EIO', `${directory}: ${text}`, { cause: thrown });
}

/** abstract-leveldown reports a missing key as an error. */
export function isNotFound(thrown: unknown): boolean {
  return thrown instanceof Error && /^NotFound/i.test(thrown.message);
}
