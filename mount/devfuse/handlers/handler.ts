import type { Ino } from '../../../src/base/ids.ts';
import type { Caller, FileSystem } from '../../../src/ports/file-system.ts';
import type { Validities } from '../protocol/attributes.ts';
import type { RequestHeader } from '../protocol/header.ts';
import type { RequestReader } from '../protocol/wire.ts';

/** One request, as its handler sees it. */
export interface Request {
  readonly header: RequestHeader;
  readonly ino: Ino;
  readonly caller: Caller;
  /** What follows the header. Valid until the handler's promise settles. */
  readonly body: RequestReader;
  /** Aborted when the caller was interrupted by a signal. */
  readonly signal: AbortSignal;
}

export interface Reply {
  /** Room for the header, then the body. */
  readonly message: Buffer;
  /** Follows the message. */
  readonly data?: readonly Uint8Array[];
  /** Gives back what the kernel would have come to own, when the reply could not be delivered. */
  readonly undelivered?: () => void;
}

export interface HandlerContext {
  readonly fileSystem: FileSystem;
  readonly validities: Validities;
  /** HANDLE_KILLPRIV_V2 is on: setuid and setgid bits are ours to clear. */
  readonly clearsSuidSgid: boolean;
  /** The kernel enforces access lists, and leaves the umask to us. */
  readonly accessLists: boolean;
  /** Descriptors with O_APPEND go past the page cache, see `openFlags`. */
  readonly appendsDirectly: boolean;
}

/** Decodes, calls the file system, encodes. Throws FsError, or MalformedRequest for a request that makes no sense. */
export type Handler = (request: Request, context: HandlerContext) => Promise<Reply>;
