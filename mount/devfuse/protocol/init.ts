import { FUSE_MAJOR, FUSE_MINOR, FUSE_MINOR_MIN, INIT_FLAG, INIT_FLAG2 } from './constants.ts';
import { MalformedRequest, MessageWriter, type RequestReader } from './wire.ts';

export interface InitRequest {
  readonly major: number;
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  /** 0 from kernels without INIT_EXT. */
  readonly flags2: number;
}

export interface InitOptions {
  readonly maxWriteBytes: number;
  readonly maxReadaheadBytes: number;
  /** Requests that the kernel keeps outstanding on its own account: read-ahead, direct I/O, releases. */
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  /** Locks are asked of the file system; otherwise the kernel keeps them for this mount alone. Default false. */
  readonly remoteLocks?: boolean;
}

/** What both sides agreed on. */
export interface Negotiated {
  readonly minor: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxWriteBytes: number;
  readonly maxPages: number;
  readonly maxReadaheadBytes: number;
}

const PAGE_BYTES = 4096;
/** Pages per request before MAX_PAGES existed. */
const MAX_PAGES_DEFAULT = 32;

/**
 * Not wanted, and why: WRITEBACK_CACHE keeps written data in the kernel, where another mount cannot see it;
 * AUTO_INVAL_DATA drops the page cache after every write of our own, and other clients' changes arrive as notices.
 */
const WANTED =
  INIT_FLAG.ASYNC_READ |
  INIT_FLAG.ATOMIC_O_TRUNC |
  INIT_FLAG.BIG_WRITES |
  INIT_FLAG.DO_READDIRPLUS |
  INIT_FLAG.READDIRPLUS_AUTO |
  INIT_FLAG.ASYNC_DIO |
  INIT_FLAG.PARALLEL_DIROPS |
  INIT_FLAG.MAX_PAGES |
  INIT_FLAG.HANDLE_KILLPRIV_V2 |
  INIT_FLAG.INIT_EXT;
const WANTED2 = INIT_FLAG2.DIRECT_IO_ALLOW_MMAP;

/**
 * Access lists, all or nothing: POSIX_ACL makes the kernel enforce them; SETXATTR_EXT tells when setting one takes the
 * set-group-ID bit away, for which Linux before 5.13 has no words; and with DONT_MASK the umask is left to whoever knows
 * whether the directory has a default list, which takes its place.
 */
const ACCESS_LISTS = INIT_FLAG.POSIX_ACL | INIT_FLAG.SETXATTR_EXT | INIT_FLAG.DONT_MASK;

/** The kernel enforces access lists on this mount. */
export function hasAccessLists({ flags }: Pick<Negotiated, 'flags'>): boolean {
  return (flags & ACCESS_LISTS) === ACCESS_LISTS;
}

const REMOTE_LOCKS = INIT_FLAG.POSIX_LOCKS | INIT_FLAG.FLOCK_LOCKS;

/** struct fuse_init_in; the fields after `flags` exist only in newer kernels. */
export function decodeInit(body: RequestReader): InitRequest {
  const [major, minor, maxReadahead, flags] = [body.u32(), body.u32(), body.u32(), body.u32()];
  const extended = (flags & INIT_FLAG.INIT_EXT) !== 0 && body.remaining >= 4;
  return { major, minor, maxReadahead, flags, flags2: extended ? body.u32() : 0 };
}

/** Undefined: the kernel speaks a newer major version and will ask again with ours. Throws MalformedRequest when it is too old. */
export function negotiate(request: InitRequest, options: InitOptions): Negotiated | undefined {
  if (request.major > FUSE_MAJOR) return undefined;
  if (request.major < FUSE_MAJOR || request.minor < FUSE_MINOR_MIN) {
    throw new MalformedRequest(
      `the kernel speaks FUSE ${request.major}.${request.minor}, at least ${FUSE_MAJOR}.${FUSE_MINOR_MIN} is needed`,
    );
  }
  const wanted =
    WANTED | (hasAccessLists(request) ? ACCESS_LISTS : 0) | (options.remoteLocks === true ? REMOTE_LOCKS : 0);
  const flags = request.flags & wanted;
  const hasMaxPages = (flags & INIT_FLAG.MAX_PAGES) !== 0;
  const maxPages = hasMaxPages ? Math.ceil(options.maxWriteBytes / PAGE_BYTES) : MAX_PAGES_DEFAULT;
  return {
    minor: Math.min(request.minor, FUSE_MINOR),
    flags,
    flags2: WANTED2 & request.flags2,
    maxWriteBytes: Math.min(options.maxWriteBytes, maxPages * PAGE_BYTES),
    maxPages,
    maxReadaheadBytes: options.maxReadaheadBytes,
  };
}

/** struct fuse_init_out. With `undefined`: the version that we want to be asked in. */
export function encodeInit(negotiated: Negotiated | undefined, options: InitOptions): Buffer {
  const out = MessageWriter.reply(64);
  if (negotiated === undefined) return out.u32(FUSE_MAJOR).u32(FUSE_MINOR).zeros(56).bytes;
  out
    .u32(FUSE_MAJOR)
    .u32(negotiated.minor)
    .u32(negotiated.maxReadaheadBytes)
    .u32(negotiated.flags >>> 0)
    .u16(options.maxBackground)
    .u16(options.congestionThreshold)
    .u32(negotiated.maxWriteBytes)
    .u32(1) // time granularity: 1 ns
    .u16((negotiated.flags & INIT_FLAG.MAX_PAGES) !== 0 ? negotiated.maxPages : 0)
    .u16(0) // map_alignment
    .u32(negotiated.flags2)
    .zeros(28);
  return out.bytes;
}
