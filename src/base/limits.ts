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
/** The log is compacted when it has more entries than this, however small they are: each costs memory. */
export const RAFT_LOG_ENTRIES_MAX = 100_000;
/** A log that a snapshot being sent still needs is not compacted before it is this large. */
export const RAFT_LOG_BYTES_HELD_MAX = 4 * RAFT_LOG_BYTES_MAX;
/** Entries applied in one batch of the state: their answers wait for each other. */
export const APPLY_BATCH_ENTRIES_MAX = 256;
export const APPLY_BATCH_BYTES_MAX = 4 * MIB;
/** Committed entries waiting to be applied; more appends and proposals are refused meanwhile. */
export const APPLY_QUEUE_BYTES_MAX = 64 * MIB;
/** Hot rows of the namespace in memory, to spare the store. */
export const ROW_CACHE_BYTES_MAX = 64 * MIB;
/** Rows in one part of a snapshot stream. */
export const SNAPSHOT_PART_BYTES_MAX = 256 * KIB;
/** Snapshots sent at a time: each reads the whole state. */
export const SNAPSHOT_SENDS_MAX = 2;
/** A full disk is tried again this often. */
export const STORAGE_RETRY_MS = 1000;
/** Linearizable reads waiting for their heartbeat round, per replica; more are told to try again. */
export const RAFT_READS_PENDING_MAX = 16_384;

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

// Namespace rows ------------------------------------------------------------------------------------------------
/** Extents in one chunk row: four times what a file has whose windows are all about to be rewritten. A commit beyond it is
 * refused with E2BIG, and the client rewrites the window as a block. */
export const EXTENTS_PER_CHUNK_MAX = 4096;
/** Inline bytes in one chunk row, which is rewritten with every change of the chunk; more is refused with E2BIG: blocks are
 * what large content is for. Twice a window full of inline extents. */
export const INLINE_BYTES_PER_CHUNK_MAX = 2 * EXTENTS_PER_WINDOW_MAX * INLINE_FILE_BYTES_MAX;
// The file system (src/vfs) ---------------------------------------------------------------------------------------
/** Written but not yet committed bytes of one mount; write() waits beyond it. */
export const VFS_DIRTY_BYTES_MAX = 128 * MIB;
/** Ranges in one dirty buffer: bounds the bookkeeping of tiny scattered writes, which the bytes do not. */
export const VFS_DIRTY_RUNS_MAX = 16_384;
/** Unflushed data is looked for this often, so it is on its way at the latest after this time. */
export const VFS_WRITE_BACK_DELAY_MS = 500;
/** Blocks of one file on their way to the ring. */
export const VFS_PUTS_PER_INODE_MAX = 6;
/** Files that the background write-back flushes at the same time. */
export const VFS_FLUSHES_MAX = 16;
/** A streaming writer's stored blocks are committed together when they amount to this. */
export const VFS_COMMIT_BYTES_MIN = 16 * MIB;
/** Extents in one write-back commit: 4,096 of about 70 bytes are well below COMMAND_BYTES_MAX. */
export const VFS_EXTENTS_PER_COMMIT_MAX = 4096;
/** Write-back batches in one commit: with 8 KiB of inline data each they stay below COMMAND_BYTES_MAX. */
export const VFS_BATCHES_PER_COMMIT_MAX = 32;
/** Frozen batches of one file that wait for a flush; more start one. */
export const VFS_BATCHES_MAX = 64;
/** First and longest pause before a failed write-back is tried again. */
export const VFS_RETRY_DELAY_MS_MIN = 1_000;
export const VFS_RETRY_DELAY_MS_MAX = 30_000;
/** Attempts for unflushed data of a file that nobody has open any more; then it is dropped and logged. */
export const VFS_CLOSED_FLUSH_ATTEMPTS_MAX = 20;
/** Attempts for data that fails with an error other than ENOSPC and ETIMEDOUT. */
export const VFS_FAILED_FLUSH_ATTEMPTS_MAX = 5;
/** Blocks fetched ahead of a sequential reader. */
export const VFS_READ_AHEAD_BLOCKS_MAX = 8;
/** A request this close to where the last one ended is sequential: the kernel sends several at once, in any order. */
export const VFS_READ_AHEAD_SLACK_BYTES = 2 * MIB;
/** Chunk rows whose layout is remembered per open file: 64 of them map 4 GiB. */
export const VFS_LAYOUT_CHUNKS_MAX = 64;
/** Times that one read starts over because the file changed meanwhile. */
export const VFS_READ_ATTEMPTS_MAX = 64;
/** Positions of one open directory that seekdir(3) can return to; the oldest are forgotten. */
export const VFS_READDIR_COOKIES_MAX = 1_000_000;
/** Inodes for which it is remembered which version the kernel's page cache holds. */
export const VFS_CACHED_INODES_MAX = 100_000;
/** Open files and directories of one mount; Linux's own fs.nr_open default. */
export const VFS_HANDLES_MAX = 1_048_576;
/** A file that travels inline is rewritten as one extent when it has more than this. */
export const VFS_INLINE_EXTENTS_MAX = 8;
/** Failed compactions of a busy window before one excludes the file's other commits. */
export const VFS_COMPACTION_TRIES_MAX = 3;
/** Windows waiting for compaction; more are found again at their next flush. */
export const VFS_COMPACTIONS_MAX = 256;
/** How long unmounting waits for the last flush. */
export const VFS_CLOSE_TIMEOUT_MS = 30_000;
