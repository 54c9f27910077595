import { NAME_BYTES_MAX } from '../../base/limits.ts';
import type { StatFs } from '../../ports/file-system.ts';
import type { VfsCore } from '../core.ts';

/** Inode numbers are not scarce; df(1) wants a number. */
const FILES_FREE = 2 ** 40;

export async function statfs(core: VfsCore, signal?: AbortSignal): Promise<StatFs> {
  const { inodes, capacityBytes, availableBytes } = await core.meta.statfs(signal);
  return {
    blockSizeBytes: 4096,
    totalBytes: capacityBytes,
    availableBytes: Math.min(availableBytes, capacityBytes),
    files: inodes + FILES_FREE,
    filesFree: FILES_FREE,
    nameBytesMax: NAME_BYTES_MAX,
  };
}
