/** Every bound of the system, with its unit and its reason. */

const KIB = 1024;
const MIB = 1024 * KIB;

// Names and paths ---------------------------------------------------------------------------------------
/** Linux NAME_MAX. */
export const NAME_BYTES_MAX = 255;
/** Linux PATH_MAX less the terminating zero; also the longest symlink target. */
export const SYMLINK_TARGET_BYTES_MAX = 4095;
/** Linux XATTR_NAME_MAX. */
export const XATTR_NAME_BYTES_MAX = 255;
/** Linux XATTR_SIZE_MAX. */
export const XATTR_VALUE_BYTES_MAX = 64 * KIB;
/** Linux XATTR_LIST_MAX: the names of one inode with a zero after each. */
export const XATTR_LIST_BYTES_MAX = 64 * KIB;
/** Linux's own file systems stop at 65,000 (ext4); it bounds the nlink counter. */
export const LINK_COUNT_MAX = 65_000;

// Files ---------------------------------------------------------------------------------------------------
/** Extents are kept in one row per 64 MiB of file, so that a row stays small and a huge file has many. */
export const CHUNK_SIZE_BYTES = 64 * MIB;
/** Larger blocks hash, send and verify in one piece; smaller ones cost a round trip each. */
export const BLOCK_SIZE_BYTES_MAX = 4 * MIB;
/** A file up to this size travels inside its commit: one round trip for a small file. */
export const INLINE_FILE_BYTES_MAX = 8 * KIB;
/** Keeps every offset and size an exact JavaScript integer with room for sums. */
export const FILE_SIZE_BYTES_MAX = 2 ** 50;
/** When a flushed 4 MiB window of a file has more extents than this, the client rewrites it as one block. */
export const EXTENTS_PER_WINDOW_MAX = 64;

// Commits --------------------------------------------------------------------------------------------------
/** Encoded size of one command; a bigger write is split by the client. */
export const COMMAND_BYTES_MAX = 1 * MIB;
export const OPS_PER_COMMIT_MAX = 1024;
/** Answers remembered per session for retries; a client keeps fewer commits than this in flight. */
export const SESSION_WINDOW_MAX = 256;
/** Entries per readdir answer; 1024 with attributes is about 200 KiB. */
export const READDIR_ENTRIES_MAX = 1024;
/** Chunk rows per GetChunks answer. */
export const CHUNKS_PER_REPLY_MAX = 16;

// Sessions and leases -----------------------------------------------------------------------------------
/** A client pings this often. */
export const SESSION_PING_INTERVAL_MS = 250;
/** A session without a ping for this long is expired by the leader. */
export const SESSION_TTL_MS = 30_000;
/** Cached metadata may be used this long after sending the last answered ping. A new leader waits as long before
 * its first answer to a mutation, unless every live session has said hello, so it is part of the failover time. */
export const LEASE_TTL_MS = 800;
/** Inodes leased to one session; the oldest are recalled beyond it. Bounds the leader's memory. */
export const LEASES_PER_SESSION_MAX = 100_000;

// Raft ------------------------------------------------------------------------------------------------------
export const RAFT_TICK_MS = 50;
/** Two ticks: 100 ms. */
export const RAFT_HEARTBEAT_TICKS = 2;
/** Randomized in [n, 2n): 600 to 1,200 ms, several times the longest event loop stall seen under load. */
export const RAFT_ELECTION_TICKS = 12;
/** Bytes of entries in one append message. */
export const RAFT_APPEND_BYTES_MAX = 1 * MIB;
/** Append messages in flight to one follower. */
export const RAFT_INFLIGHT_MAX = 64;
/** Bytes of uncommitted proposals at the leader; more are refused with EAGAIN and retried by the client. */
export const RAFT_UNCOMMITTED_BYTES_MAX = 64 * MIB;
/** The log is compacted when it is larger than this. */
export const RAFT_LOG_BYTES_MAX = 64 * MIB;
/** Entries kept behind the applied index, so that a follower that was away shortly needs no snapshot. */
export const RAFT_LOG_ENTRIES_KEPT = 10_000;

// Transport ---------------------------------------------------------------------------------------------------
/** A block, its envelope, and room. Larger messages are refused by gRPC. */
export const MESSAGE_BYTES_MAX = 8 * MIB;
/** HTTP/2 flow control window per stream and connection: the default of 64 KiB halves the throughput. */
export const FLOW_CONTROL_WINDOW_BYTES = 16 * MIB;
/** Calls in flight on one connection. */
export const CALLS_IN_FLIGHT_MAX = 4096;

// Blocks --------------------------------------------------------------------------------------------------------
export const SEGMENT_SIZE_BYTES_MAX = 256 * MIB;
export const VIRTUAL_NODES_DEFAULT = 32;
export const REPLICAS_DEFAULT = 3;
/** A node that was alone this long after its start, with nobody answering at its seeds, is a ring of one. */
export const RING_ALONE_AFTER_MS = 3000;
/** Likewise without any seeds: they may become known a moment after the start. */
export const RING_ALONE_WITHOUT_SEEDS_MS = 500;
export const RING_TICK_MS = 100;
/** A node that does not answer a ring message for this long is taken for dead: several times an event loop stall. */
export const RING_CALL_TIMEOUT_MS = 1500;
/** Addresses that a node remembers to look for split-off parts of the ring. */
export const RING_CONTACTS_MAX = 256;
/** Hops of an iterative lookup; a ring of 2^64 nodes needs fewer. */
export const RING_LOOKUP_HOPS_MAX = 64;
/** Between two attempts to connect to a block node that does not answer: doubled up to the maximum. */
export const PEER_BACKOFF_MIN_MS = 100;
export const PEER_BACKOFF_MAX_MS = 3000;
/** Sending a block to another node; a dead one is noticed much earlier by the ring. */
export const BLOCK_CALL_TIMEOUT_MS = 10_000;
/** Bytes of blocks that a node is storing for clients at one time, until the last copy is written; and for other nodes. */
export const BLOCK_PUT_BYTES_IN_FLIGHT_MAX = 128 * MIB;
/** Blocks being read for answers at one time: bounds their memory at 256 MiB. */
export const BLOCK_GETS_IN_FLIGHT_MAX = 64;
/** Requests that wait for one of these; more are refused. */
export const BLOCK_REQUESTS_WAITING_MAX = 4096;
/** Identifiers in one HasBlocks or ListBlocks. */
export const BLOCK_IDS_PER_CALL_MAX = 8192;
/** Blocks known to lack a copy; with more, the next walk over all blocks finds them. */
export const REPAIR_QUEUE_MAX = 65_536;
/** Blocks being copied to other nodes by repair at one time: at most 16 MiB, so that clients are not starved. */
export const REPAIR_COPIES_IN_FLIGHT_MAX = 4;
/** Blocks compared with the other owners at one time, and the pause after each such page. */
export const REPAIR_PAGE_BLOCKS = 512;
export const REPAIR_PAGE_PAUSE_MS = 20;
/** A walk starts this long after the last change of the ring, and this long after the previous walk. */
export const REPAIR_DEBOUNCE_MS = 2000;
export const REPAIR_INTERVAL_MS = 60_000;
