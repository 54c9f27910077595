import { millisecondsOf } from './binding.ts';
import type { Listing, PathOperations } from './operations.ts';

type Callback = (errno: number, ...values: unknown[]) => void;

const TWO_32 = 2 ** 32;

/**
 * The object of callback-style operations that fuse-native calls. `utimens` comes with the package's own idea of a number; a
 * time before 1970 is told apart by its size.
 */
export function nativeCallbacks(
  operations: PathOperations,
  errnoOf: (error: unknown) => number,
): Record<string, (...args: never[]) => void> {
  /** Calls back with 0 and the value. */
  const value = (work: Promise<unknown>, done: Callback): void => {
    work.then(
      (result) => done(0, result),
      (error: unknown) => done(errnoOf(error)),
    );
  };
  /** Calls back with the number of bytes in place of the errno. */
  const count = (work: Promise<number>, done: Callback): void => {
    work.then(
      (bytes) => done(bytes),
      (error: unknown) => done(errnoOf(error)),
    );
  };
  const listing = (work: Promise<Listing>, done: Callback): void => {
    work.then(
      ({ names, stats }) => done(0, names, stats),
      (error: unknown) => done(errnoOf(error)),
    );
  };
  const time = (milliseconds: number): number =>
    millisecondsOf(milliseconds % TWO_32, Math.floor(milliseconds / TWO_32));

  return {
    init: (done: Callback) => done(0),
    getattr: (path: string, done: Callback) => value(operations.getattr(path), done),
    // Present so that libfuse calls it; answered by the corrected class.
    fgetattr: (path: string, _fd: number, done: Callback) => value(operations.getattr(path), done),
    statfs: (_path: string, done: Callback) => value(operations.statfs(), done),
    chmod: (path: string, mode: number, done: Callback) => value(operations.chmod(path, mode), done),
    chown: (path: string, uid: number, gid: number, done: Callback) =>
      value(operations.chown(path, uid, gid), done),
    utimens: (path: string, atime: number, mtime: number, done: Callback) =>
      value(operations.utimens(path, time(atime), time(mtime)), done),
    truncate: (path: string, size: number, done: Callback) => value(operations.truncate(path, size), done),
    ftruncate: (_path: string, fd: number, size: number, done: Callback) =>
      value(operations.ftruncate(fd, size), done),
    mknod: (path: string, mode: number, rdev: number, done: Callback) =>
      value(operations.mknod(path, mode, rdev), done),
    mkdir: (path: string, mode: number, done: Callback) => value(operations.mkdir(path, mode), done),
    symlink: (target: string, path: string, done: Callback) => value(operations.symlink(target, path), done),
    readlink: (path: string, done: Callback) => value(operations.readlink(path), done),
    link: (existing: string, path: string, done: Callback) => value(operations.link(existing, path), done),
    unlink: (path: string, done: Callback) => value(operations.unlink(path), done),
    rmdir: (path: string, done: Callback) => value(operations.rmdir(path), done),
    rename: (from: string, to: string, done: Callback) => value(operations.rename(from, to), done),
    open: (path: string, flags: number, done: Callback) => value(operations.open(path, flags), done),
    create: (path: string, mode: number, done: Callback) => value(operations.create(path, mode), done),
    read: (_path: string, fd: number, buffer: Buffer, length: number, offset: number, done: Callback) =>
      count(operations.read(fd, buffer, length, offset), done),
    write: (_path: string, fd: number, buffer: Buffer, length: number, offset: number, done: Callback) =>
      count(operations.write(fd, buffer.subarray(0, length), offset), done),
    flush: (_path: string, fd: number, done: Callback) => value(operations.flush(fd), done),
    fsync: (_path: string, dataOnly: number, fd: number, done: Callback) =>
      value(operations.fsync(fd, dataOnly !== 0), done),
    release: (_path: string, fd: number, done: Callback) => value(operations.release(fd), done),
    opendir: (path: string, _flags: number, done: Callback) => value(operations.opendir(path), done),
    readdir: (path: string, done: Callback) => listing(operations.readdir(path), done),
    releasedir: (_path: string, fd: number, done: Callback) => value(operations.releasedir(fd), done),
    fsyncdir: (_path: string, _dataOnly: number, fd: number, done: Callback) =>
      value(operations.fsyncdir(fd), done),
    setxattr: (path: string, name: string, bytes: Buffer, _position: number, flags: number, done: Callback) =>
      value(operations.setxattr(path, name, bytes, flags), done),
    removexattr: (path: string, name: string, done: Callback) =>
      value(operations.removexattr(path, name), done),
    // Present so that libfuse calls them; answered by the corrected class.
    getxattr: (_path: string, _name: string, _position: number, done: Callback) => done(0),
    listxattr: (_path: string, done: Callback) => done(0),
  };
}
