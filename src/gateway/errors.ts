import { asFsError, type ErrnoName } from '../base/errno.ts';

/** The one table of what the file system says no with, as HTTP has it (RFC 9110, RFC 4918 for 507). */
export const STATUS_BY_ERRNO: Readonly<Record<ErrnoName, number>> = {
  EPERM: 403,
  ENOENT: 404,
  EINTR: 503,
  EIO: 500,
  ENXIO: 500,
  E2BIG: 413,
  EBADF: 500,
  EAGAIN: 503,
  ENOMEM: 503,
  EACCES: 403,
  EBUSY: 409,
  EEXIST: 409,
  EXDEV: 409,
  ENODEV: 500,
  ENOTDIR: 409,
  EISDIR: 409,
  EINVAL: 400,
  ENFILE: 503,
  EMFILE: 503,
  ENOTTY: 500,
  ETXTBSY: 409,
  EFBIG: 413,
  ENOSPC: 507,
  EROFS: 403,
  EMLINK: 409,
  EPIPE: 500,
  ERANGE: 400,
  EDEADLK: 503,
  ENAMETOOLONG: 400,
  ENOLCK: 503,
  ENOSYS: 501,
  ENOTEMPTY: 409,
  ELOOP: 409,
  ENODATA: 404,
  EPROTO: 502,
  EOVERFLOW: 400,
  EOPNOTSUPP: 501,
  ETIMEDOUT: 504,
  // What a path led to was removed while the request was under way.
  ESTALE: 404,
  EDQUOT: 507,
};

/** What is wrong with a request rather than with the tree, and its status. */
const STATUS_BY_CODE = {
  BAD_REQUEST: 400,
  BAD_PATH: 400,
  BAD_DIGEST: 400,
  INCOMPLETE: 400,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  PRECONDITION_FAILED: 412,
  TOO_LARGE: 413,
  BAD_RANGE: 416,
  BUSY: 503,
} as const;

export type GatewayCode = keyof typeof STATUS_BY_CODE;

/** A request that is refused. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: GatewayCode;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: GatewayCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.code = code;
    this.headers = headers;
  }
}

export interface Failure {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Any thrown value as what the client is told. Of what is not understood, no more than that: the log has it. */
export function failureOf(thrown: unknown): Failure {
  if (thrown instanceof GatewayError) {
    const { code, message, headers } = thrown;
    return { status: STATUS_BY_CODE[code], code, message, headers };
  }
  const { code, message } = asFsError(thrown);
  const status = STATUS_BY_ERRNO[code];
  const retry = status === 503 ? { 'retry-after': '1' } : {};
  const detail = message.startsWith(`${code}: `) ? message.slice(code.length + 2) : '';
  return {
    status,
    code,
    message: code === 'EIO' || detail === '' ? (WORDS[code] ?? code) : detail,
    headers: retry,
  };
}

/** For people, where the file system has no more to say than the errno. */
const WORDS: Readonly<Partial<Record<ErrnoName, string>>> = {
  ENOENT: 'there is no such file or directory',
  EEXIST: 'there is something of that name already',
  ENOTDIR: 'something on the way is not a directory',
  EISDIR: 'it is a directory',
  ENOTEMPTY: 'the directory is not empty',
  EIO: 'the file system failed; the log of the gateway says more',
  ETIMEDOUT: 'the cluster did not answer in time; whether the change was made is not known',
  ELOOP: 'too many symbolic links on the way',
  ENAMETOOLONG: 'a name is longer than 255 bytes',
  ENOSPC: 'there is no space left',
  ESTALE: 'it was removed meanwhile',
  EBUSY: 'the root cannot be changed',
};
