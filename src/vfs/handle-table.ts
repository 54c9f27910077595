import { FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import { VFS_HANDLES_MAX } from '../base/limits.ts';
import type { FileHandle } from '../ports/file-system.ts';
import type { InodeState } from './inode-state.ts';
import type { ReadAhead } from './read-ahead.ts';
import type { DirectoryStream } from './readdir.ts';

export interface OpenFile {
  readonly state: InodeState;
  readonly append: boolean;
  readonly writable: boolean;
  /** Who opened it is not root: writes clear the setuid and setgid bits. */
  readonly unprivileged: boolean;
  readonly readAhead: ReadAhead;
  /** The inode's error sequence as of the last report. */
  errorSeen: number;
  /** Locks taken through it are gone without having been released. Nothing is written through it any more. */
  locksLost: boolean;
}

export interface OpenDirectory {
  readonly ino: Ino;
  readonly stream: DirectoryStream;
}

/** Numbers for open files and directories. */
export class HandleTable {
  readonly #files = new Map<FileHandle, OpenFile>();
  readonly #directories = new Map<FileHandle, OpenDirectory>();
  /** How often each directory is open. */
  readonly #openDirectories = new Map<Ino, number>();
  #next = 1;

  get size(): number {
    return this.#files.size + this.#directories.size;
  }

  addFile(file: OpenFile): FileHandle {
    this.#files.set(this.#allocate(), file);
    return this.#next++;
  }

  addDirectory(directory: OpenDirectory): FileHandle {
    this.#directories.set(this.#allocate(), directory);
    this.#openDirectories.set(directory.ino, (this.#openDirectories.get(directory.ino) ?? 0) + 1);
    return this.#next++;
  }

  #allocate(): FileHandle {
    this.checkRoom();
    return this.#next;
  }

  /** Throws ENFILE when no handle is left. */
  checkRoom(): void {
    if (this.size >= VFS_HANDLES_MAX) throw new FsError('ENFILE');
  }

  file(handle: FileHandle): OpenFile {
    const file = this.#files.get(handle);
    if (!file) throw new FsError('EBADF', 'no such file handle');
    return file;
  }

  /** Undefined once it was released. */
  openFile(handle: FileHandle): OpenFile | undefined {
    return this.#files.get(handle);
  }

  directory(handle: FileHandle): OpenDirectory {
    const directory = this.#directories.get(handle);
    if (!directory) throw new FsError('EBADF', 'no such directory handle');
    return directory;
  }

  removeFile(handle: FileHandle): OpenFile {
    const file = this.file(handle);
    this.#files.delete(handle);
    return file;
  }

  removeDirectory(handle: FileHandle): void {
    const { ino } = this.directory(handle);
    this.#directories.delete(handle);
    const left = (this.#openDirectories.get(ino) ?? 1) - 1;
    if (left > 0) this.#openDirectories.set(ino, left);
    else this.#openDirectories.delete(ino);
  }

  hasOpenDirectory(ino: Ino): boolean {
    return this.#openDirectories.has(ino);
  }
}
