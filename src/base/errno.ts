/** Linux errno numbers: the vocabulary in which the file system says no (errno(3), asm-generic/errno.h). */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  ENXIO: 6,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  EXDEV: 18,
  ENODEV: 19,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENFILE: 23,
  EMFILE: 24,
  ENOTTY: 25,
  ETXTBSY: 26,
  EFBIG: 27,
  ENOSPC: 28,
  EROFS: 30,
  EMLINK: 31,
  EPIPE: 32,
  ERANGE: 34,
  EDEADLK: 35,
  ENAMETOOLONG: 36,
  ENOLCK: 37,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  ELOOP: 40,
  ENODATA: 61,
  EPROTO: 71,
  EOVERFLOW: 75,
  EOPNOTSUPP: 95,
  ETIMEDOUT: 110,
  ESTALE: 116,
  EDQUOT: 122,
} as const;

export type ErrnoName = keyof typeof ERRNO;

const NAME_BY_NUMBER = new Map<number, ErrnoName>(
  (Object.entries(ERRNO) as [ErrnoName, number][]).map(([name, number]) => [number, name]),
);

/** The name of an errno number; an unknown one is EIO, as every unknown failure is. */
export function errnoName(number: number): ErrnoName {
  return NAME_BY_NUMBER.get(number) ?? 'EIO';
}

/** Answers to ordinary questions. Nobody looks for where they were made, and finding that out takes longer than the answer. */
const WITHOUT_TRACE: ReadonlySet<ErrnoName> = new Set(['ENOENT', 'ENODATA', 'EEXIST', 'EAGAIN']);

/**
 * A failure that the file system tells the application about, as an errno with its cause for the log. Without a stack trace where
 * it is an ordinary answer.
 */
export class FsError extends Error {
  override readonly name = 'FsError';
  readonly code: ErrnoName;

  constructor(code: ErrnoName, detail?: string, options?: { cause?: unknown }) {
    const frames = Error.stackTraceLimit;
    if (WITHOUT_TRACE.has(code)) Error.stackTraceLimit = 0;
    super(detail === undefined ? code : `${code}: ${detail}`, options);
    Error.stackTraceLimit = frames;
    this.code = code;
  }

  get errno(): number {
    return ERRNO[this.code];
  }
}

/** Any thrown value as an FsError. What is not one becomes EIO and keeps the original as its cause. */
export function asFsError(thrown: unknown): FsError {
  if (thrown instanceof FsError) return thrown;
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return new FsError('EIO', detail, { cause: thrown });
}
