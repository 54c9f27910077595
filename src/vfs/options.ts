import {
  BLOCK_SIZE_BYTES_MAX,
  EXTENTS_PER_WINDOW_MAX,
  INLINE_FILE_BYTES_MAX,
  VFS_CLOSE_TIMEOUT_MS,
  VFS_COMMIT_BYTES_MIN,
  VFS_DIRTY_BYTES_MAX,
  VFS_PUTS_PER_INODE_MAX,
  VFS_READ_AHEAD_BLOCKS_MAX,
  VFS_RETRY_DELAY_MS_MIN,
  VFS_WRITE_BACK_DELAY_MS,
} from '../base/limits.ts';

/** What a mount may tune; tests set small sizes so that every boundary is met. */
export interface VfsOptions {
  /** Largest block, and the width of the windows that compaction looks at. */
  readonly blockSizeBytes: number;
  readonly inlineFileBytesMax: number;
  readonly extentsPerWindowMax: number;
  readonly dirtyBytesMax: number;
  readonly commitBytesMin: number;
  readonly putsPerInodeMax: number;
  readonly readAheadBlocksMax: number;
  readonly writeBackDelayMs: number;
  readonly retryDelayMs: number;
  readonly closeTimeoutMs: number;
}

export const DEFAULT_VFS_OPTIONS: VfsOptions = {
  blockSizeBytes: BLOCK_SIZE_BYTES_MAX,
  inlineFileBytesMax: INLINE_FILE_BYTES_MAX,
  extentsPerWindowMax: EXTENTS_PER_WINDOW_MAX,
  dirtyBytesMax: VFS_DIRTY_BYTES_MAX,
  commitBytesMin: VFS_COMMIT_BYTES_MIN,
  putsPerInodeMax: VFS_PUTS_PER_INODE_MAX,
  readAheadBlocksMax: VFS_READ_AHEAD_BLOCKS_MAX,
  writeBackDelayMs: VFS_WRITE_BACK_DELAY_MS,
  retryDelayMs: VFS_RETRY_DELAY_MS_MIN,
  closeTimeoutMs: VFS_CLOSE_TIMEOUT_MS,
};
