import { assert, defined } from '../../src/base/assert.ts';
import type { Logger } from '../../src/ports/logger.ts';
import { BufferPool } from './buffer-pool.ts';
import type { Device } from './device.ts';
import type { EventLoopReader } from './event-loop-reader.ts';
import {
  COPIED_REQUEST_BYTES_MAX,
  REPLY_PIECES_MAX,
  REQUESTS_IN_FLIGHT_MAX,
  WRITE_BUFFERS_IDLE_MAX,
  WRITE_BUFFERS_MAX,
} from './limits.ts';

export interface ChannelOptions {
  readonly readers: number;
  /** Room for the largest request. */
  readonly requestBytesMax: number;
}

/** Takes one request. `done` must be called once its bytes are not needed any more. */
export type RequestSink = (request: Buffer, done: () => void) => void;

/** `unwanted`: nobody waits for this reply any more. `refused`: it is wrong, and somebody may still be waiting. */
export type ReplyOutcome = 'delivered' | 'unwanted' | 'refused';

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | undefined)?.code;
}

/** Reads requests from the device and writes replies and notices to it. Knows lengths, not meanings. */
export class Channel {
  readonly #device: Device;
  readonly #logger: Logger;
  readonly #options: ChannelOptions;
  readonly #pool: BufferPool;
  #inFlight = 0;
  #resumeReaders: (() => void)[] = [];
  #ended = false;

  constructor(components: { device: Device; logger: Logger }, options: ChannelOptions) {
    assert(options.readers >= 1, 'at least one reader');
    this.#device = components.device;
    this.#logger = components.logger;
    this.#options = options;
    this.#pool = new BufferPool({
      sizeBytes: options.requestBytesMax,
      outMax: WRITE_BUFFERS_MAX,
      idleMax: WRITE_BUFFERS_IDLE_MAX,
    });
  }

  /** True once the kernel ended the connection: nothing can be read or written any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Passes requests to `sink` until the kernel ends the connection. Never rejects. `failed`: reading is not possible any more,
   * but the kernel does not know.
   */
  async run(sink: RequestSink): Promise<'ended' | 'failed'> {
    const { reader } = this.#device;
    if (reader !== undefined) await this.#pollLoop(reader, sink);
    else await Promise.all(Array.from({ length: this.#options.readers }, () => this.#readLoop(sink)));
    const outcome = this.#ended ? 'ended' : 'failed';
    this.#ended = true;
    return outcome;
  }

  async #pollLoop(reader: Pick<EventLoopReader, 'run'>, sink: RequestSink): Promise<void> {
    let buffer: Buffer | undefined;
    try {
      while (!this.#ended) {
        await this.#belowLimit();
        buffer ??= await this.#pool.take();
        await reader.run(buffer, (length) => {
          const filled = defined(buffer, 'the buffer that was read into');
          buffer = this.#deliverFrom(filled, length, sink) ? filled : this.#pool.tryTake();
          return this.#inFlight < REQUESTS_IN_FLIGHT_MAX ? buffer : undefined;
        });
      }
    } catch (error) {
      // The kernel withdraws a request that is being read only when it aborts the connection.
      if (codeOf(error) === 'ENOENT') this.#ended = true;
      else this.#readFailed(error);
    }
    if (buffer !== undefined) this.#pool.give(buffer);
  }

  async #belowLimit(): Promise<void> {
    while (this.#inFlight >= REQUESTS_IN_FLIGHT_MAX) {
      await new Promise<void>((resolve) => this.#resumeReaders.push(resolve));
    }
  }

  async #readLoop(sink: RequestSink): Promise<void> {
    let buffer = await this.#pool.take();
    while (!this.#ended) {
      await this.#belowLimit();
      if (this.#ended) break;
      const length = await this.#readOne(buffer);
      if (length === undefined) break;
      if (!this.#deliverFrom(buffer, length, sink)) buffer = await this.#pool.take();
    }
    this.#pool.give(buffer);
  }

  /** True when `buffer` can be read into again at once. */
  #deliverFrom(buffer: Buffer, length: number, sink: RequestSink): boolean {
    const isCopied = length <= COPIED_REQUEST_BYTES_MAX;
    if (isCopied) this.#deliver(sink, Buffer.from(buffer.subarray(0, length)), undefined);
    else this.#deliver(sink, buffer.subarray(0, length), buffer);
    return isCopied;
  }

  /** Undefined: nothing more will come. */
  async #readOne(buffer: Buffer): Promise<number | undefined> {
    for (;;) {
      try {
        return await this.#device.read(buffer);
      } catch (error) {
        switch (codeOf(error)) {
          // ENOENT: the request was withdrawn while it was being read.
          case 'EINTR':
          case 'EAGAIN':
          case 'ENOENT':
            continue;
          default:
            this.#readFailed(error);
            return undefined;
        }
      }
    }
  }

  #readFailed(error: unknown): void {
    switch (codeOf(error)) {
      case 'ENODEV':
      case 'ECONNABORTED':
        this.#ended = true;
        return;
      default:
        this.#logger.error({ err: error }, 'reading the FUSE device failed');
    }
  }

  #deliver(sink: RequestSink, request: Buffer, pooled: Buffer | undefined): void {
    this.#inFlight++;
    let open = true;
    sink(request, () => {
      assert(open, 'a request is done once');
      open = false;
      this.#inFlight--;
      if (pooled !== undefined) this.#pool.give(pooled);
      if (this.#resumeReaders.length > 0) {
        const resume = this.#resumeReaders;
        this.#resumeReaders = [];
        for (const reader of resume) reader();
      }
    });
  }

  /** The first piece has the header. Never throws. */
  reply(pieces: readonly Uint8Array[]): ReplyOutcome {
    try {
      this.#device.writeReply(pieces.length > REPLY_PIECES_MAX ? [Buffer.concat(pieces)] : pieces);
      return 'delivered';
    } catch (error) {
      switch (codeOf(error)) {
        case 'ENOENT': // the request was interrupted
        case 'ENODEV': // unmounted
          return 'unwanted';
        default:
          this.#logger.error({ err: error, bytes: pieces[0]?.length }, 'the kernel refused a reply');
          return 'refused';
      }
    }
  }

  /** Resolves when the kernel has taken the notice, or does not know the inode. Never rejects. */
  async notify(notice: Uint8Array): Promise<void> {
    if (this.#ended) return;
    try {
      await this.#device.writeNotice(notice);
    } catch (error) {
      switch (codeOf(error)) {
        case 'ENOENT': // not cached
        case 'ENODEV':
          return;
        default:
          this.#logger.warn({ err: error }, 'the kernel refused an invalidation');
      }
    }
  }
}
