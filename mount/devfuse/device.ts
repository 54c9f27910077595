import { closeSync, open, read, write, writeSync, writevSync } from 'node:fs';
import { type EventLoopReader, openEventLoopReader } from './event-loop-reader.ts';

/** The FUSE device as the channel uses it. /dev/fuse in production, a script in tests. */
export interface Device {
  /** One request into `buffer`; resolves with its length. Rejects with an error that has a `code`. */
  read(buffer: Buffer): Promise<number>;
  /** Reads without a thread of its own, if the runtime can; from then on `read` must not be used. */
  readonly reader?: Pick<EventLoopReader, 'run'> | undefined;
  /** Writes one reply. Synchronous: a reply never waits in the kernel. Throws an error with a `code`. */
  writeReply(pieces: readonly Uint8Array[]): void;
  /**
   * Writes one notice. Asynchronous without exception: the kernel may wait for a lock or a page whose holder waits for an
   * answer of this process.
   */
  writeNotice(notice: Uint8Array): Promise<void>;
  close(): void;
}

/** /dev/fuse by its descriptor. */
export class KernelDevice implements Device {
  readonly fd: number;
  readonly reader: EventLoopReader | undefined;

  constructor(fd: number) {
    this.fd = fd;
    this.reader = openEventLoopReader(fd);
  }

  static open(path: string): Promise<KernelDevice> {
    return new Promise((resolve, reject) => {
      open(path, 'r+', (error, fd) => {
        if (error === null) resolve(new KernelDevice(fd));
        else reject(error);
      });
    });
  }

  read(buffer: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      read(this.fd, buffer, 0, buffer.length, null, (error, count) => {
        if (error === null) resolve(count);
        else reject(error);
      });
    });
  }

  writeReply(pieces: readonly Uint8Array[]): void {
    if (pieces.length === 1) writeSync(this.fd, pieces[0]!);
    else writevSync(this.fd, pieces);
  }

  writeNotice(notice: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      write(this.fd, notice, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  close(): void {
    if (this.reader !== undefined) this.reader.close();
    else closeSync(this.fd);
  }
}
