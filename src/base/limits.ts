/** Every bound of the system, with its unit and its reason. */

const KIB = 1024;
const MIB = 1024 * KIB;

// Names and paths ---------------------------------------------------------------------------------------
/** Linux NAME_MAX. */
export const NAME_BYTES_MAX = 255;
/** Linux PATH_MAX less the terminating zero; also the longest symlink target. */
export const SYMLINK_TARGET_BYTES_MAX = 4095;
/** Symbolic links followed on one path, as Linux does (path_resolution(7)). */
export const SYMLINKS_FOLLOWED_MAX = 40;
/** Linux XATTR_NAME_MAX. */
export const XATTR_NAME_BYTES_MAX = 255;
/** Linux XATTR_SIZE_MAX. */
export const XATTR_VALUE_BYTES_MAX = 64 * KIB;
/** Linux XATTR_LIST_MAX: the names of one inode with a zero after each. */
export const XATTR_LIST_BYTES_MAX = 64 * KIB;
/** Entries of an access list: what fits a page of 4 KiB, beyond which FUSE in the kernel cannot read one (fs/fuse/acl.c). */
export const ACL_ENTRIES_MAX = 511;
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
/** Entries per readdir answer, and of a listing over HTTP; 1024 with attributes is about 200 KiB. */
export const READDIR_ENTRIES_MAX = 1024;
/** Chunk rows per GetChunks answer. */
export const CHUNKS_PER_REPLY_MAX = 16;

// Clients ---------------------------------------------------------------------------------------------------
/** How long an operation waits for the cluster before it fails with ETIMEDOUT, unless configured. */
export const CLIENT_OPERATION_TIMEOUT_MS_DEFAULT = 30_000;
/** Retries wait a random time in this range, growing. */
export const CLIENT_BACKOFF_MS_MIN = 20;
export const CLIENT_BACKOFF_MS_MAX = 500;
/** While a leader is being elected, servers are asked at least this often: part of the failover time. */
export const LEADER_PROBE_MS_MAX = 100;
/** ... for this long; later the search slows down to CLIENT_BACKOFF_MS_MAX. */
export const LEADER_PROBE_EAGER_MS = 5_000;
/** The second server is asked this much after the first, so that a healthy cluster sees few connections. */
export const LEADER_PROBE_STAGGER_MS = 50;
/** A leader that answers no ping for this long is given up. */
export const LEADER_SILENCE_MS = 1_000;
/** A hello waits for the read barrier or the opening of a session. */
export const HELLO_TIMEOUT_MS = 2_000;
/** Addresses of meta servers remembered by a client. */
export const META_ADDRESSES_MAX = 64;
/** One try of a request; the operation goes on until its own timeout. */
export const CLIENT_CALL_TIMEOUT_MS = 5_000;
/** Commits waiting in a client for the session window; more are refused with EAGAIN. */
export const COMMITS_WAITING_MAX = 16_384;
/** Uploads of missing blocks before a commit fails: each means that garbage collection overtook the one before. */
export const COMMIT_MISSING_TRIES_MAX = 4;
/** How long closing a client waits for the leader to end its session. */
export const CLIENT_GOODBYE_WAIT_MS = 1_000;
/** How long closing a client waits for commits in flight. */
export const CLIENT_CLOSE_WAIT_MS = 2_000;
/** Inodes whose attributes a client caches; fewer than LEASES_PER_SESSION_MAX, so that the server recalls none for space. */
export const CACHED_ATTRS_MAX = 60_000;
/** Directory entries, present and absent, cached over all directories. */
export const CACHED_DENTRIES_MAX = 200_000;
/** Directories with cached entries. */
export const CACHED_DIRECTORIES_MAX = 20_000;
/** Extents cached over all files: about 200 bytes each. */
export const CACHED_EXTENTS_MAX = 200_000;
/** Inodes whose last recall is remembered, to refuse replies that it overtook. */
export const CACHED_RECALLS_MAX = 10_000;
/** Content of cached blocks. */
export const BLOCK_CACHE_BYTES_DEFAULT = 256 * MIB;
/** Blocks up to this size are cached when written; larger ones would cost a copy and push out what was read. */
export const BLOCK_CACHE_WRITTEN_BYTES_MAX = 256 * KIB;
/** Bytes of blocks being stored by one client; more wait. */
export const PUT_BYTES_IN_FLIGHT_MAX = 64 * MIB;
/** Blocks being fetched by one client; more wait. */
export const GETS_IN_FLIGHT_MAX = 64;
/** Blocks being fetched ahead; more are dropped. */
export const PREFETCHES_IN_FLIGHT_MAX = 16;
/** Bad copies being replaced; more are left to the scrubber. */
export const REPAIRS_IN_FLIGHT_MAX = 4;
/** A second owner is asked when the first has not answered a read for this long. */
export const HEDGE_DELAY_MS_DEFAULT = 200;
/** A node that could not be reached is tried last for this long. */
export const NODE_DOWN_MS = 1_000;
/** A block node that has answered nothing for so long while calls wait is asked on another connection whether it lives, which takes a
 * second at most; what waits for one that does not goes elsewhere. HTTP/2's own pings need eight seconds for that. */
export const NODE_SILENCE_MS = 1_000;
/** It is tried last and asked every NODE_DOWN_MS until it lives again, for so long at most: then the ring goes without it anyway. */
export const NODE_STILL_MS = 30_000;
/** Ranges of the ring with their owners; a ring of 100 nodes has 3,200. */
export const RING_RANGES_MAX = 8_192;
/** Hops of one owner lookup; Chord needs log2 of the ring's size. */
export const RING_HOPS_MAX = 64;
/** One try to store or fetch a block of 4 MiB, on a slow disk; a dead node is noticed much earlier. */
export const BLOCK_CALL_TIMEOUT_MS = 10_000;

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
/** Added to the lease time where the leader waits for it: clocks of two machines drift by far less than 6 %. */
export const LEASE_MARGIN_MS = 50;
/** Leases recalled at once when a session has too many: one message instead of one per read. */
export const LEASE_EVICTION_BATCH = 1024;
/** Sessions of one cluster; each costs the leader a liveness entry and every orphan round a query. */
export const SESSIONS_MAX = 10_000;
/** The leader tells the other servers of sessions that have been silent for so long, and of so many at most: whoever leads next counts
 * on from there. Else the locks of a dead client would last for as long as leaders change every half minute. */
export const SESSION_SILENCE_TOLD_MS = 5_000;
export const SESSIONS_SILENT_TOLD_MAX = 1_000;
/** What was told is of use for so long: it is of the leader just before. */
export const SESSION_SILENCE_TOLD_AGE_MS_MAX = 10_000;
/** Every session has so long to say hello to a new leader. */
export const SESSION_HELLO_MS = 10_000;
/** The leader looks for silent sessions this often. */
export const SESSION_SWEEP_INTERVAL_MS = 1_000;
/** Sessions expired by one command. */
export const SESSIONS_EXPIRED_PER_COMMAND_MAX = 256;
/** `client` of a Hello: host, pid and mount point, for people. */
export const CLIENT_NAME_BYTES_MAX = 1024;
/** `nonce` of a Hello: enough that no two clients choose the same. */
export const SESSION_NONCE_BYTES = 16;
/** A read that another commit keeps changing under its hands is answered without a lease after this many tries. */
export const LEASED_READ_TRIES_MAX = 4;
/** Block identifiers in one KnownBlocks request: 128 KiB of hashes. */
export const KNOWN_BLOCKS_PER_REQUEST_MAX = 4096;

// Locks -------------------------------------------------------------------------------------------------------
/** Ranges locked in one inode by all owners: they are one row. Beyond it ENOLCK. */
export const LOCKS_PER_INODE_MAX = 4096;
/** Requests that wait for locks of one inode. A release looks at each of them. Beyond it ENOLCK. */
export const LOCK_WAITERS_PER_INODE_MAX = 1024;
/** Inodes in which one session has locks: 32 buckets of this many. Its end drops all of them in one command. Beyond it ENOLCK. */
export const LOCKED_INODES_PER_BUCKET_MAX = 512;
/** Owners looked at in search of a deadlock; a longer chain is not noticed. Linux gives up after 10. */
export const LOCK_DEADLOCK_WALK_MAX = 256;
/** Inodes in whose lines one owner stands, each with a thread of its own. Beyond it ENOLCK. */
export const LOCK_LINES_PER_OWNER_MAX = 1024;
/** Who waits for a lock asks this often whether it still does, in case the notice was lost. */
export const LOCK_POLL_MS = 5_000;
/** A waiter that got a signal is let go after this long even if the servers have not confirmed that it left the line. */
export const LOCK_CANCEL_WAIT_MS = 1_000;
/** Pause between attempts to release what a closed descriptor had locked while the servers are gone. */
export const LOCK_RELEASE_RETRY_MS = 500;
/** Owners with locks, and inodes whose use of locks is remembered, in one mount. Beyond it ENOLCK. */
export const LOCK_OWNERS_MAX = 65_536;

// Orphans and block nodes at the meta leader -----------------------------------------------------------
/** Unlinked inodes the leader keeps in mind; more stay in their rows and are found by the next scan. */
export const ORPHAN_QUEUE_MAX = 100_000;
/** Unlinked inodes asked about in one OpenInodesQuery. */
export const ORPHAN_BATCH_MAX = 1024;
/** Time between rounds of the orphan reaper, which also gathers unlinks into one query. */
export const ORPHAN_ROUND_INTERVAL_MS = 500;
/** An inode held open is asked about again after a time that grows to this. */
export const ORPHAN_RETRY_MS_MAX = 8_000;
/** A client that does not answer an OpenInodesQuery for this long makes the round fail; it is tried again. */
export const ORPHAN_QUERY_TIMEOUT_MS = 5_000;
/** Chunk rows deleted by one ReapOrphan command: bounds the time of one apply. */
export const ORPHAN_CHUNKS_PER_REAP_MAX = 64;
/** ReapOrphan commands in flight: they share the log's syncs with each other but leave room for commits. */
export const ORPHAN_REAPS_IN_FLIGHT_MAX = 16;
// Garbage collection -------------------------------------------------------------------------------
/** A block without references is kept this long, for reads that are under way and for whoever writes it again. */
export const GC_GRACE_MS_DEFAULT = 120_000;
/** The same while a block node is nearly full, that is has less than this part of its capacity left. */
export const GC_GRACE_FULL_MS = 10_000;
export const GC_NEARLY_FULL_PART = 0.1;
/** Between marking and dropping a block, at most: uploads that take longer may have to be repeated. */
export const GC_SETTLE_MS = 30_000;
/** A living node that does not take a delete for this long is left to its own reconciliation. */
export const GC_DELETE_WAIT_MS = 120_000;
/** A copy without a row is left alone for this many times the grace after its upload. */
export const GC_UNREFERENCED_GRACES = 4;
export const GC_ROUND_INTERVAL_MS = 1_000;
/** Blocks in one command and in one delete request. */
export const GC_BATCH_BLOCKS = 512;
/** Batches that are marked and not dropped yet, in memory; more wait in their rows. */
export const GC_BATCHES_MAX = 128;
/** Nodes told to delete at one time. */
export const GC_DELETES_IN_FLIGHT_MAX = 8;
/** Copies that a block node asks about at one time, and the pause after each such page. */
export const RECONCILE_PAGE_BLOCKS = 512;
export const RECONCILE_PAGE_PAUSE_MS = 100;
/** A block node walks over its copies again after this many times the grace. */
export const RECONCILE_INTERVAL_GRACES = 5;
/** A block node without a report for this long is not alive. Block nodes report every second. */
export const BLOCK_NODE_ALIVE_MS = 3_000;
/** Block nodes in the registry. */
export const BLOCK_NODES_MAX = 4096;
/** The registry row of a block node is rewritten when its use changed by more than this, or by 5 %. */
export const BLOCK_NODE_USED_CHANGE_BYTES = 1024 * MIB;

// Raft ------------------------------------------------------------------------------------------------------
export const RAFT_TICK_MS = 50;
/** Two ticks: 100 ms. */
export const RAFT_HEARTBEAT_TICKS = 2;
/** Randomized in [n, 2n): 600 to 1,200 ms, several times the longest event loop stall seen under load. */
export const RAFT_ELECTION_TICKS = 12;
/** A leader looks this often whether a new member has caught up. */
export const PROMOTE_INTERVAL_TICKS = 4;
/** Entries that a member may be behind when it becomes a voter: what it catches up within a few messages. */
export const PROMOTE_LAG_ENTRIES_MAX = 256;
/** Bytes of entries in one append message. */
export const RAFT_APPEND_BYTES_MAX = 1 * MIB;
/** Append messages in flight to one follower. */
export const RAFT_INFLIGHT_MAX = 64;
/** Bytes of uncommitted proposals at the leader; more are refused with EAGAIN and retried by the client. */
export const RAFT_UNCOMMITTED_BYTES_MAX = 64 * MIB;
/** The log is compacted when it is larger than this. All of it is in memory. */
export const RAFT_LOG_BYTES_MAX = 32 * MIB;
/** Entries kept behind the applied index, so that a follower that was away shortly needs no snapshot. */
export const RAFT_LOG_ENTRIES_KEPT = 10_000;
/** The log is compacted when it has more entries than this, however small they are: a restart reads all of them. */
export const RAFT_LOG_ENTRIES_MAX = 100_000;
/** A log that a snapshot being sent still needs is not compacted before it is this large. */
export const RAFT_LOG_BYTES_HELD_MAX = 4 * RAFT_LOG_BYTES_MAX;
/** Entries applied in one batch of the state: their answers wait for each other. */
export const APPLY_BATCH_ENTRIES_MAX = 256;
export const APPLY_BATCH_BYTES_MAX = 4 * MIB;
/** Committed entries waiting to be applied; more appends and proposals are refused meanwhile. */
export const APPLY_QUEUE_BYTES_MAX = 64 * MIB;
/** Entries that the commit index on disk may be behind while a replica runs. */
export const COMMIT_MARK_LAG_MAX = 64;
/** A follower that was asked for a read gets what the leader has within this time, or says that it cannot. */
export const FOLLOWER_READ_MS_MAX = 2_000;
/** Attempts of a follower to read while nothing is applied. */
export const FOLLOWER_READ_TRIES_MAX = 16;
/**
 * A client without a leader for so long asks followers to answer reads, and to carry its stream to it: longer than most failovers
 * take, in which they have no leader to ask.
 */
export const FOLLOWERS_ASKED_AFTER_MS = 1_500;
/** A client whose stream is carried tries the leader itself at this interval. */
export const RELAY_DIRECT_RETRY_MS = 1_000;
/** A follower that does not reach the leader within this time says so: another may. */
export const RELAY_CONNECT_TIMEOUT_MS = 500;
/** What a follower carries is timed by the client; this only ends what nobody waits for any more. */
export const RELAY_CALL_TIMEOUT_MS = 60_000;
/** How long a client waits for one follower, and between two rounds over all of them. */
export const FOLLOWER_CALL_TIMEOUT_MS = 2_500;
export const FOLLOWER_RETRY_MS = 250;
/** The leader has the replicas' states compared this often, when anything was committed since. */
export const STATE_CHECK_INTERVAL_MS = 10_000;
/** How long the leader waits for more hashes once two replicas had different ones, before it says who is wrong. */
export const STATE_CHECK_WAIT_MS = 2_000;
/** Comparisons that a replica remembers: one may be told late what it should have had. */
export const STATE_CHECKS_KEPT = 8;
/** A replica reads all of its rows this often, to compare their hash with the one that it keeps up with each write. */
export const STATE_AUDIT_INTERVAL_MS = 6 * 3_600_000;
/** Between so many rows it rests: about 1 % of a processor, and 5 million rows in 20 minutes. */
export const STATE_AUDIT_PAGE_ROWS = 2_000;
export const STATE_AUDIT_PAUSE_MS = 500;
/** How long a follower gathers committed entries before it applies them. */
export const APPLY_DELAY_MS = 50;
/** How long, and for how many entries, a leader puts off writing its state when nobody reads it. */
export const APPLY_WRITE_DELAY_MS = 20;
export const APPLY_WRITE_ENTRIES_MAX = 64;
/** How long, and for how many bytes, a leader gathers entries for a follower that no commit waits for. Far below the heartbeat
 * interval and the election timeout. */
export const PACE_MS = 20;
export const PACE_BYTES_MAX = 128 * 1024;
/** Hot rows of the namespace in memory, to spare the store. */
export const ROW_CACHE_BYTES_MAX = 16 * MIB;
/** Rows in one part of a snapshot stream. */
export const SNAPSHOT_PART_BYTES_MAX = 256 * KIB;
/** One part of a dump: rows of a snapshot part, of which the last may be as large as a row can be. */
export const DUMP_FRAME_BYTES_MAX = 64 * MIB;
/** Dumps that one server writes at a time: each reads the whole state. */
export const DUMPS_MAX = 2;
/** A cluster restored from a dump goes on this far behind it, so that an index that the lost one may have given to something newer never
 * means two things to a client that has seen both. */
export const RESTORE_INDEX_GAP = 2 ** 40;
/** Likewise for inode numbers: more than can have been made between the dump and the loss. Small, since programs with 32-bit
 * inode numbers exist. */
export const RESTORE_INO_GAP = 2 ** 26;
/** Snapshots sent at a time: each reads the whole state. */
export const SNAPSHOT_SENDS_MAX = 2;
/** A full disk is tried again this often. */
export const STORAGE_RETRY_MS = 1000;
/** Servers outside the known configuration that a replica answers: those added while it was away, those just removed. */
export const RAFT_STRANGERS_MAX = 16;
/** Ticks after which a silent one of them is forgotten: 10 s. */
export const RAFT_STRANGER_TICKS_MAX = 200;
/** Linearizable reads waiting for their heartbeat round, per replica; more are told to try again. */
export const RAFT_READS_PENDING_MAX = 16_384;
/** A server without data asks each of the others; one that does not answer within this is asked again. */
export const FORMATION_ASK_TIMEOUT_MS = 2_000;
/** Between two rounds of asking, growing: a server that starts asks the others too, and is then asked at once. */
export const FORMATION_PAUSE_MS_MIN = 50;
export const FORMATION_PAUSE_MS_MAX = 1_000;
/** The log says whom it waits for after the first of these, then again after twice as long, at least once per the second. */
export const FORMATION_NOTICE_MS_MIN = 3_000;
export const FORMATION_NOTICE_MS_MAX = 300_000;

// Transport ---------------------------------------------------------------------------------------------------
/** A block, its envelope, and room. Larger messages are refused by gRPC. */
export const MESSAGE_BYTES_MAX = 8 * MIB;
/** HTTP/2 flow control window per stream and connection: the default of 64 KiB halves the throughput. */
export const FLOW_CONTROL_WINDOW_BYTES = 16 * MIB;
/** Calls in flight on one connection. */
export const CALLS_IN_FLIGHT_MAX = 4096;
/** Encoded replies waiting for a client that does not read them; above it, no more of its requests are read. */
export const STREAM_UNSENT_BYTES_PAUSE = 64 * MIB;
/** Above it the stream is ended: more than the answers to all block reads that one client has in flight. */
export const STREAM_UNSENT_BYTES_MAX = 512 * MIB;
/** A client uses one stream per connection, and a few more in passing. */
export const STREAMS_PER_CONNECTION_MAX = 128;

// Blocks --------------------------------------------------------------------------------------------------------
export const SEGMENT_SIZE_BYTES_MAX = 256 * MIB;
export const VIRTUAL_NODES_DEFAULT = 32;
export const REPLICAS_DEFAULT = 3;

// Namespace rows ------------------------------------------------------------------------------------------------
/** Ancestors looked at when a directory that has subdirectories moves; deeper is refused with ELOOP. Twice the components that
 * a path of PATH_MAX bytes can have. It bounds the time that one command may take. */
export const DIRECTORY_WALK_MAX = 4096;
/** Extents in one chunk row: four times what a file has whose windows are all about to be rewritten. A commit beyond it is
 * refused with E2BIG, and the client rewrites the window as a block. */
export const EXTENTS_PER_CHUNK_MAX = 4096;
/** What one copy_file_range may copy, which is done while nothing else is applied; the caller asks again for the rest. 1,024
 * extents of whole blocks are 4 GiB in 64 chunk rows, and each may change the row of a block. */
export const COPY_EXTENTS_PER_COMMIT_MAX = 1024;
export const COPY_CHUNKS_PER_COMMIT_MAX = 64;
/** A chunk's worth at least, or a copy could get stuck. */
export const COPY_INLINE_BYTES_PER_COMMIT_MAX = MIB;
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
/** A file that grew by so much since it was looked at is being streamed, and its block is not cut where the clock happens to
 * strike: equal files are to have equal blocks. Programs that write less, such as logs, are not held up. */
export const VFS_STREAM_BYTES_MIN = 256 * KIB;
/** How many such looks one block is waited for. */
export const VFS_STREAM_LOOKS_MAX = 10;
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
/** Windows whose fragments are counted. */
export const VFS_COMPACTION_COUNTERS_MAX = 65_536;
/** Ranges per commit, each of which may add two extents, once a chunk row has been found full. */
export const VFS_CROWDED_EXTENTS_MAX = 512;
/** Times that room is made in chunk rows before the data of one file is clean again. */
export const VFS_CROWDED_ATTEMPTS_MAX = 1024;
/** Times that an append without an answer is looked for while others change the file. */
export const VFS_APPEND_ATTEMPTS_MAX = 16;
/** Windows waiting for compaction; more are found again at their next flush. */
export const VFS_COMPACTIONS_MAX = 256;
/** How long unmounting waits for the last flush. */
export const VFS_CLOSE_TIMEOUT_MS = 30_000;
/** A node that was alone this long after its start, with nobody answering at its seeds, is a ring of one. */
export const RING_ALONE_AFTER_MS = 3000;
/** Likewise without any seeds: they may become known a moment after the start. */
export const RING_ALONE_WITHOUT_SEEDS_MS = 500;
export const RING_TICK_MS = 100;
/** A node that does not answer a ring message for this long is taken for dead: several times an event loop stall. */
export const RING_CALL_TIMEOUT_MS = 1500;
/** A node lost less than this ago may only have stalled: alone, a put waits a moment for it. */
export const RING_RECENT_MS = 5000;
/** A tick that comes this late means that the process itself stood still. */
export const RING_STALL_MS = 500;
/** How long a put waits for a majority of the nodes that were in the ring a moment ago. */
export const RING_SETTLE_MS = 2000;
/** Addresses that a node remembers to look for split-off parts of the ring. */
export const RING_CONTACTS_MAX = 256;
/** Hops of an iterative lookup; a ring of 2^64 nodes needs fewer. */
export const RING_LOOKUP_HOPS_MAX = 64;
/** Between two attempts to connect to a block node that does not answer: doubled up to the maximum. */
export const PEER_BACKOFF_MIN_MS = 100;
export const PEER_BACKOFF_MAX_MS = 3000;
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
/** Bytes that a node's repair sends per second, and while clients have been served by it in the last REPAIR_GIVES_WAY_MS: a small part
 * of what its disk and network can do. */
export const REPAIR_BYTES_PER_SECOND_MAX = 64 * MIB;
export const REPAIR_BYTES_PER_SECOND_BUSY = 16 * MIB;
export const REPAIR_GIVES_WAY_MS = 1000;
/** A draining node walks over its blocks again after this long, or as long as the walk took, to see what is left. */
export const DRAIN_WALK_INTERVAL_MS = 1000;
/** A walk starts this long after the last change of the ring, and this long after the previous walk. */
export const REPAIR_DEBOUNCE_MS = 2000;
export const REPAIR_INTERVAL_MS = 60_000;
/** Blocks that could not be copied are tried again after this long, or four times as long as trying them took: a node that is full
 * takes them no better the next time. */
export const REPAIR_RETRY_MS = 5_000;
/** Copies of blocks that a node does not own any more are dropped no sooner than this after its ring or the registry's placement
 * changed: a node that is away for a restart gets its ranges back, and what others copied for it is still there the next time. */
export const SURPLUS_GRACE_MS_DEFAULT = 30_000;
/** Between two walks that look for such copies, at least. One that was interrupted is repeated after a quarter of it. */
export const SURPLUS_INTERVAL_MS = 60_000;
/** Blocks listed and dropped at one time, the pause after each page that is listed, and the one after each that is dropped, a longer
 * one while clients are served: with 2 s for the registry these are 250 blocks a second at most, and 70. */
export const SURPLUS_PAGE_BLOCKS = 512;
/** Of the blocks dropped at one time: their owners read and hash one copy of each before the answer, a second or two of a slow disk. With
 * the pauses it is 30 MiB a second, and 10 while clients are served. */
export const SURPLUS_PAGE_BYTES = 64 * MIB;
export const SURPLUS_PAGE_PAUSE_MS = 20;
export const SURPLUS_DROP_PAUSE_MS = 100;
export const SURPLUS_DROP_PAUSE_BUSY_MS = 5_000;
/** A drop waits this long for news from the registry of nodes, which come every second, and is given up then. */
export const SURPLUS_REGISTRY_WAIT_MS = 10_000;
/** A node re-reads its blocks at this rate, a small part of what its disk and one core can do. */
export const SCRUB_BYTES_PER_SECOND_DEFAULT = 8 * MIB;
/** Less would not get round: 1 TiB at this rate takes half a year. */
export const SCRUB_BYTES_PER_SECOND_MIN = 64 * KIB;
/** Copies known to be bad that a node remembers until they are replaced: while no good copy can be had, reads and passes of the
 * scrubber find the others again. */
export const BAD_COPIES_MAX = 65_536;
/** Identifiers in one VerifyBlocks: each is a block to be read and hashed before the answer. */
export const VERIFY_BLOCKS_PER_CALL_MAX = 512;
/** Pause between two passes over all blocks. */
export const SCRUB_INTERVAL_MS_DEFAULT = 3_600_000;
/** The files of the store are looked at, and copies that could not be healed tried again, this often. The first time, this long after
 * the start at the most, a node knows its ring. */
export const SCRUB_INSPECT_INTERVAL_MS = 60_000;
export const SCRUB_START_DELAY_MS = 5_000;
/** Blocks lost with a file that are healed before the files are looked at again. */
export const SCRUB_LOST_BLOCKS_MAX = 8_192;
export const SCRUB_PAGE_BLOCKS = 256;

// fsck ---------------------------------------------------------------------------------------------------------------
/** Blocks asked for at a time, and their bytes when they are read: all nodes work on them together. */
export const FSCK_PAGE_BLOCKS = 4096;
export const FSCK_PAGE_BYTES = 512 * MIB;
/** What a node reads for one call: a second or two of a slow disk, so that progress is seen. */
export const FSCK_CALL_BYTES_MAX = 64 * MIB;
/** Healing one block may ask every node for it. */
export const FSCK_CALL_TIMEOUT_MS = 120_000;
export const FSCK_LOOKUP_TIMEOUT_MS = 10_000;
/** Contradictions in the metadata that are told; more are counted: one lost row can be a finding for each of millions of others. */
export const FINDINGS_TOLD_MAX = 1_000;

// Metrics ------------------------------------------------------------------------------------------------------------
/** A few collectors, and people; each costs a socket. */
export const METRICS_CONNECTIONS_MAX = 32;
/** For a request of a few hundred bytes to arrive. */
export const METRICS_REQUEST_TIMEOUT_MS = 10_000;

// Gateway ------------------------------------------------------------------------------------------------------------
/** Request line and headers: two paths of PATH_MAX bytes, each byte percent-encoded, and room for the rest. */
export const GATEWAY_HEADER_BYTES_MAX = 32 * KIB;
/** A request in JSON: two such paths. */
export const GATEWAY_JSON_BYTES_MAX = 32 * KIB;
/** Connections at one time: each costs a socket and the buffers of one request. */
export const GATEWAY_CONNECTIONS_MAX = 1024;
/** Uploads at one time: all share the bytes that may wait to be stored, so more would only be slower each. */
export const GATEWAY_UPLOADS_MAX = 32;
/** Downloads at one time: each holds up to two pieces, and what is read ahead of it. */
export const GATEWAY_DOWNLOADS_MAX = 128;
/** A piece of a download: large enough that a block takes few steps. */
export const GATEWAY_READ_BYTES = 1 * MIB;
/** What one DELETE of a tree removes: some seconds of work, so that a client sees progress and can stop. */
export const GATEWAY_DELETE_ENTRIES_MAX = 1_000;
/** ... so many at a time: enough to be committed together. */
export const GATEWAY_DELETES_IN_FLIGHT_MAX = 16;
/** Attempts to put an upload in place while others put theirs: each that fails means that another one was done. */
export const GATEWAY_REPLACE_TRIES_MAX = 32;
/** For the headers of a request to arrive. */
export const GATEWAY_HEADERS_TIMEOUT_MS = 15_000;
/** A connection on which nothing moves is closed: longer than an operation waits for the cluster, with an answer to spare. */
export const GATEWAY_IDLE_TIMEOUT_MS = 120_000;
/** What is still read of a body after the answer: a client that sends at full speed has seen the answer by then. */
export const GATEWAY_LINGER_BYTES_MAX = 64 * MIB;
export const GATEWAY_LINGER_MS = 5_000;
/** Requests under way when the gateway is stopped get this long to end. */
export const GATEWAY_STOP_TIMEOUT_MS = 8_000;
/** Whether the cluster answers is waited for this long: less than whoever asks for the health waits. */
export const GATEWAY_HEALTH_TIMEOUT_MS = 3_000;
