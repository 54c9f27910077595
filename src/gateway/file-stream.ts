import { FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import { GATEWAY_READ_BYTES } from '../base/limits.ts';
import type { FileHandle, FileSystem } from '../ports/file-system.ts';
import type { HttpStream } from '../ports/http.ts';
import type { ByteRange } from './range.ts';

interface OpenFile {
  readonly files: FileSystem;
  readonly ino: Ino;
  readonly handle: FileHandle;
}

/** A range of an open file, piece by piece; the file is closed with it. */
export class FileStream implements HttpStream {
  readonly #file: OpenFile;
  readonly #range: ByteRange;
  readonly #signal: AbortSignal;
  readonly #closed: () => void;
  #reading: Promise<unknown> | undefined;

  constructor(file: OpenFile, range: ByteRange, signal: AbortSignal, closed: () => void) {
    this.#file = file;
    this.#range = range;
    this.#signal = signal;
    this.#closed = closed;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    const end = this.#range.last + 1;
    for (let at = this.#range.first; at < end; ) {
      const pieces = await this.#read(at, Math.min(GATEWAY_READ_BYTES, end - at));
      // The length was promised: the client has to see that this is not all.
      if (pieces.length === 0) throw new FsError('EIO', 'the file became shorter while it was read');
      for (const piece of pieces) {
        yield piece;
        at += piece.length;
      }
    }
  }

  async #read(offset: number, length: number): Promise<readonly Uint8Array[]> {
    const { files, ino, handle } = this.#file;
    const reading = files.read(ino, handle, offset, length, this.#signal);
    this.#reading = reading;
    return await reading;
  }

  async close(): Promise<void> {
    const { files, ino, handle } = this.#file;
    // A read under way uses the handle.
    await this.#reading?.catch(() => undefined);
    try {
      await files.release(ino, handle);
    } finally {
      this.#closed();
    }
  }
}
