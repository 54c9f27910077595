import { type FileHandle, mkdir, open, readdir, rename, stat, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory } from '../os/sync-directory.ts';

/** The few file operations that segments need, so that a test can make them fail. Errors carry a `code`. */
export interface SegmentFile {
  /** Writes all of `parts` one after the other from `offset` on. */
  write(parts: readonly Uint8Array[], offset: number): Promise<void>;
  /** Fills `into` from `offset` on; the number of bytes read is smaller only at the end of the file. */
  read(into: Uint8Array, offset: number): Promise<number>;
  truncate(length: number): Promise<void>;
  sync(): Promise<void>;
  size(): Promise<number>;
  close(): Promise<void>;
}

export interface SegmentFiles {
  /** Numbers of the segments that exist, in order. Makes the folder if there is none. */
  list(): Promise<number[]>;
  /** A new file; fails when it exists. Its name is durable when this resolves. */
  create(segment: number): Promise<SegmentFile>;
  open(segment: number, mode: 'read' | 'append'): Promise<SegmentFile>;
  /** Deletes the file. After a crash it may be there again. */
  remove(segment: number): Promise<void>;
  /** Sets a damaged file aside, so that it takes no part any more and is not deleted either. */
  quarantine(segment: number): Promise<void>;
  /** What has been set aside. */
  quarantined(): Promise<readonly { readonly segment: number; readonly bytes: number }[]>;
  /** Bytes of the file system: all, and those still available to this process. */
  space(): Promise<{ totalBytes: number; availableBytes: number }>;
}

/** Below the folder of the segments. */
export const QUARANTINE_FOLDER = 'quarantine';
const NAME = /^seg-(\d{8})\.dat$/;

function fileName(segment: number): string {
  return `seg-${String(segment).padStart(8, '0')}.dat`;
}

/** Segment files in a folder of the local file system. */
export function localSegmentFiles(directory: string): SegmentFiles {
  return {
    async list() {
      await mkdir(directory, { recursive: true });
      const numbers = (await readdir(directory)).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number);
      return numbers.sort((a, b) => a - b);
    },
    async create(segment) {
      const file = localFile(await open(join(directory, fileName(segment)), 'wx+'));
      await syncDirectory(directory);
      return file;
    },
    async open(segment, mode) {
      return localFile(await open(join(directory, fileName(segment)), mode === 'read' ? 'r' : 'r+'));
    },
    async remove(segment) {
      await unlink(join(directory, fileName(segment)));
    },
    async quarantine(segment) {
      const folder = join(directory, QUARANTINE_FOLDER);
      await mkdir(folder, { recursive: true });
      await rename(join(directory, fileName(segment)), join(folder, fileName(segment)));
      await syncDirectory(folder);
      await syncDirectory(directory);
    },
    async quarantined() {
      const folder = join(directory, QUARANTINE_FOLDER);
      const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return [];
        throw error;
      });
      const found: { segment: number; bytes: number }[] = [];
      for (const name of names) {
        const match = NAME.exec(name);
        if (match) found.push({ segment: Number(match[1]), bytes: (await stat(join(folder, name))).size });
      }
      return found;
    },
    async space() {
      const s = await statfs(directory);
      return { totalBytes: s.blocks * s.bsize, availableBytes: s.bavail * s.bsize };
    },
  };
}

function localFile(handle: FileHandle): SegmentFile {
  return {
    write: (parts, offset) => writeAll(handle, parts, offset),
    async read(into, offset) {
      let done = 0;
      while (done < into.length) {
        const { bytesRead } = await handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    },
    truncate: (length) => handle.truncate(length),
    sync: () => handle.datasync(),
    size: async () => (await handle.stat()).size,
    close: () => handle.close(),
  };
}

/** One writev in the usual case. A short write is continued: the next one then tells the reason, such as ENOSPC. */
async function writeAll(handle: FileHandle, parts: readonly Uint8Array[], offset: number): Promise<void> {
  let rest = parts.filter((p) => p.length > 0);
  let at = offset;
  while (rest.length > 0) {
    const { bytesWritten } = await handle.writev(rest, at);
    at += bytesWritten;
    let skip = bytesWritten;
    const next: Uint8Array[] = [];
    for (const part of rest) {
      if (skip >= part.length) {
        skip -= part.length;
      } else {
        next.push(part.subarray(skip));
        skip = 0;
      }
    }
    rest = next;
  }
}
