import { getSystemErrorName } from 'node:util';

/** Node's handle of a pipe, as far as it is used here: it reads any descriptor that can be polled. */
interface PipeHandle {
  /** Must be a function: the runtime ends the process otherwise. */
  onread: () => void;
  open(fd: number): number | undefined;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  close(): void;
}

interface PipeBinding {
  readonly Pipe: new (type: number) => PipeHandle;
  readonly constants: { readonly SOCKET: number };
}

interface StreamBinding {
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
}

/** Takes a request of `length` bytes in the buffer last given; returns the buffer for the next one, or undefined to stop. */
export type OnRequest = (length: number) => Buffer | undefined;

/**
 * Requests as the event loop finds the device readable. Reading with fs.read costs two switches of threads for every request, a fifth of
 * what a mount spends on a small operation; the runtime has no public way to poll a device, so this goes by the handle beneath
 * its pipes (process.binding, deprecated and there in all versions), and where that is missing fs.read is used.
 */
export class EventLoopReader {
  readonly #handle: PipeHandle;
  readonly #stream: StreamBinding;

  constructor(handle: PipeHandle, stream: StreamBinding) {
    this.#handle = handle;
    this.#stream = stream;
  }

  /** Resolves when `onRequest` returned undefined. Rejects with an error that has a `code`; then nothing more can be read. */
  run(buffer: Buffer, onRequest: OnRequest): Promise<void> {
    const handle = this.#handle;
    const { streamBaseState, kReadBytesOrError } = this.#stream;
    let current = buffer;
    return new Promise((resolve, reject) => {
      const end = (error?: Error): void => {
        handle.onread = () => {};
        handle.readStop();
        if (error === undefined) resolve();
        else reject(error);
      };
      handle.useUserBuffer(current);
      handle.onread = () => {
        const length = streamBaseState[kReadBytesOrError] ?? 0;
        // EAGAIN, as the runtime tells it: what made the device readable was withdrawn, or taken by another reader, before it was read.
        if (length === 0) return;
        if (length < 0) {
          end(systemError(length));
          return;
        }
        const next = onRequest(length);
        if (next === undefined) end();
        else if (next !== current) {
          current = next;
          handle.useUserBuffer(next);
        }
      };
      const status = handle.readStart();
      if (status < 0) end(systemError(status));
    });
  }

  /** Closes the descriptor too. */
  close(): void {
    this.#handle.close();
  }
}

function systemError(status: number): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`${code}: reading the device`), { code });
}

/** Undefined when this runtime has no such handle. It owns `fd` from then on. */
export function openEventLoopReader(fd: number): EventLoopReader | undefined {
  try {
    const { binding } = process as unknown as { binding(name: string): unknown };
    const { Pipe, constants } = binding('pipe_wrap') as PipeBinding;
    const stream = binding('stream_wrap') as StreamBinding;
    const isKnown =
      stream.streamBaseState instanceof Int32Array && Number.isInteger(stream.kReadBytesOrError);
    if (!isKnown || typeof Pipe.prototype.useUserBuffer !== 'function') return undefined;
    const handle = new Pipe(constants.SOCKET);
    const status = handle.open(fd) ?? 0;
    return status < 0 ? undefined : new EventLoopReader(handle, stream);
  } catch {
    return undefined;
  }
}
