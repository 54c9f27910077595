/** Bounds of the kernel front end, each with its unit and its reason. */

const KIB = 1024;
const MIB = 1024 * KIB;

/** One WRITE or READ. 256 pages, the most that the kernel takes without a sysctl. */
export const MAX_WRITE_BYTES = 1 * MIB;
/** What the kernel reads ahead of a sequential reader; needs read_ahead_kb of the mount to be raised as well. */
export const MAX_READAHEAD_BYTES = 1 * MIB;
/** Each waiting reader occupies a thread of libuv's pool; two keep one reading while the other's request is decoded. */
export const READERS_DEFAULT = 2;
/** Requests that the kernel sends on its own account at once (read-ahead, direct I/O, releases). */
export const MAX_BACKGROUND = 64;
/** Beyond so many of them the kernel calls the device congested and reads less ahead. */
export const CONGESTION_THRESHOLD = 48;
/**
 * Requests being answered at once. An application thread has one, so this is never reached in practice; at the limit the
 * readers pause, and nothing can be interrupted until something is answered.
 */
export const REQUESTS_IN_FLIGHT_MAX = 4096;
/** Buffers of MAX_WRITE_BYTES held by writes that are under way. At the limit the readers pause. */
export const WRITE_BUFFERS_MAX = 256;
/** Unused write buffers kept for reuse. */
export const WRITE_BUFFERS_IDLE_MAX = 16;
/** A request up to this size is copied out of the read buffer, so that the buffer can be read into again at once. */
export const COPIED_REQUEST_BYTES_MAX = 8 * KIB;
/** Inodes waiting to be invalidated; beyond it, those of attributes only are dropped, which expire by themselves. */
export const INVALIDATIONS_PENDING_MAX = 65_536;
/** Pieces of a reply written as they are; writev(2) takes 1,024, more are joined first. */
export const REPLY_PIECES_MAX = 512;
