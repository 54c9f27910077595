import { asFsError, ERRNO, FsError } from '../../src/base/errno.ts';
import type { Ino } from '../../src/base/ids.ts';
import type { FileSystem } from '../../src/ports/file-system.ts';
import type { Logger } from '../../src/ports/logger.ts';
import type { Channel, ReplyOutcome } from './channel.ts';
import type { HandlerContext, Reply, Request } from './handlers/handler.ts';
import { HANDLERS } from './handlers/table.ts';
import { type InterruptPolicy, immediateInterrupts, type PendingRequest } from './interrupts.ts';
import { type Validities, validityOf } from './protocol/attributes.ts';
import { INIT_FLAG, INIT_FLAG2, OPCODE, opcodeName } from './protocol/constants.ts';
import { decodeBatchForget, decodeForget } from './protocol/entries.ts';
import { decodeHeader, encodeError, finishReply, peekUnique, type RequestHeader } from './protocol/header.ts';
import {
  decodeInit,
  encodeInit,
  hasAccessLists,
  type InitOptions,
  type Negotiated,
  negotiate,
} from './protocol/init.ts';
import { MalformedRequest, type RequestReader } from './protocol/wire.ts';

export interface DispatcherOptions {
  readonly init: InitOptions;
  /** For how long the kernel may use a name without asking. */
  readonly entryTimeoutMs: number;
  /** The same for attributes, which are also invalidated by notices. */
  readonly attrTimeoutMs: number;
}

export interface DispatcherComponents {
  readonly channel: Pick<Channel, 'reply'>;
  readonly fileSystem: FileSystem;
  readonly logger: Logger;
  /** Default: an interrupted request ends at once. */
  readonly interrupts?: InterruptPolicy;
}

/** Gives every request to its handler and sends the answer. Nothing that arrives makes it throw. */
export class Dispatcher {
  readonly #channel: Pick<Channel, 'reply'>;
  readonly #fileSystem: FileSystem;
  readonly #logger: Logger;
  readonly #interrupts: InterruptPolicy;
  readonly #options: DispatcherOptions;
  readonly #validities: Validities;
  readonly #pending = new Map<number, PendingRequest>();
  readonly #idleWaiters: (() => void)[] = [];
  #context: HandlerContext | undefined;
  #resolveInitialized: (negotiated: Negotiated) => void = () => {};
  #rejectInitialized: (error: unknown) => void = () => {};
  /** Resolves when the kernel and we agreed on a protocol. Rejects when we cannot. */
  readonly initialized: Promise<Negotiated>;

  constructor(components: DispatcherComponents, options: DispatcherOptions) {
    this.#channel = components.channel;
    this.#fileSystem = components.fileSystem;
    this.#logger = components.logger;
    this.#interrupts = components.interrupts ?? immediateInterrupts;
    this.#options = options;
    this.#validities = {
      entry: validityOf(options.entryTimeoutMs),
      attr: validityOf(options.attrTimeoutMs),
    };
    this.initialized = new Promise((resolve, reject) => {
      this.#resolveInitialized = resolve;
      this.#rejectInitialized = reject;
    });
    // Whoever starts the mount waits for it; a later failure is no unhandled rejection.
    this.initialized.catch(() => {});
  }

  /** Interrupts everything that is being answered: nobody waits for it any more. */
  connectionEnded(): void {
    this.#rejectInitialized(new Error('the connection ended before it was negotiated'));
    for (const { controller } of this.#pending.values()) controller.abort(new FsError('EINTR'));
  }

  /** Resolves when no request is being answered. */
  async idle(): Promise<void> {
    while (this.#pending.size > 0) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /** A RequestSink. */
  receive(bytes: Buffer, done: () => void): void {
    let header: RequestHeader;
    let body: RequestReader;
    try {
      ({ header, body } = decodeHeader(bytes));
    } catch (error) {
      this.#refuseUndecodable(bytes, error);
      done();
      return;
    }
    switch (header.opcode) {
      case OPCODE.FORGET:
      case OPCODE.BATCH_FORGET:
        this.#forget(header, body);
        done();
        return;
      case OPCODE.INTERRUPT:
        this.#interrupt(header, body);
        done();
        return;
      case OPCODE.INIT:
        this.#init(header, body);
        done();
        return;
      default:
        void this.#answer(header, body, done);
    }
  }

  #refuseUndecodable(bytes: Buffer, error: unknown): void {
    this.#logger.error({ err: error, bytes: bytes.length }, 'undecodable request from the kernel');
    const unique = peekUnique(bytes);
    if (unique !== undefined) this.#channel.reply([encodeError(unique, ERRNO.EINVAL)]);
  }

  #init(header: RequestHeader, body: RequestReader): void {
    try {
      const request = decodeInit(body);
      const negotiated = negotiate(request, this.#options.init);
      if (negotiated !== undefined) {
        this.#context = {
          fileSystem: this.#fileSystem,
          validities: this.#validities,
          clearsSuidSgid: (negotiated.flags & INIT_FLAG.HANDLE_KILLPRIV_V2) !== 0,
          accessLists: hasAccessLists(negotiated),
          appendsDirectly: (negotiated.flags2 & INIT_FLAG2.DIRECT_IO_ALLOW_MMAP) !== 0,
        };
      }
      this.#channel.reply([finishReply(encodeInit(negotiated, this.#options.init), header.unique)]);
      if (negotiated === undefined) return;
      this.#logger.info({ kernelMinor: request.minor, ...negotiated }, 'FUSE connection negotiated');
      this.#resolveInitialized(negotiated);
    } catch (error) {
      this.#channel.reply([encodeError(header.unique, ERRNO.EPROTO)]);
      this.#rejectInitialized(error);
    }
  }

  #forget(header: RequestHeader, body: RequestReader): void {
    try {
      if (header.opcode === OPCODE.FORGET) {
        this.#fileSystem.forget(header.nodeId as Ino, decodeForget(body));
        return;
      }
      for (const { nodeId, count } of decodeBatchForget(body)) this.#fileSystem.forget(nodeId as Ino, count);
    } catch (error) {
      this.#logger.error({ err: error, ino: header.nodeId }, 'forgetting inodes failed');
    }
  }

  #interrupt(header: RequestHeader, body: RequestReader): void {
    let interrupted: number;
    try {
      interrupted = body.id();
    } catch (error) {
      this.#logger.error({ err: error }, 'undecodable interrupt from the kernel');
      this.#channel.reply([encodeError(header.unique, ERRNO.EINVAL)]);
      return;
    }
    // An interrupt that is carried out is not answered. EAGAIN: the request may still be with the other reader, so the
    // kernel sends the interrupt again; when the request has been answered, it does not.
    const request = this.#pending.get(interrupted);
    if (request === undefined) this.#channel.reply([encodeError(header.unique, ERRNO.EAGAIN)]);
    else this.#interrupts.interrupt(request, () => this.#pending.get(interrupted) === request);
  }

  /** Never rejects. */
  async #answer(header: RequestHeader, body: RequestReader, done: () => void): Promise<void> {
    const { opcode, unique } = header;
    const controller = new AbortController();
    this.#pending.set(unique, { pid: header.pid, controller, untilSignal: opcode === OPCODE.SETLKW });
    try {
      this.#deliver(unique, await this.#handle(header, body, controller.signal));
    } catch (error) {
      this.#channel.reply([encodeError(unique, this.#errnoOf(error, header))]);
    } finally {
      this.#pending.delete(unique);
      done();
      if (this.#pending.size === 0) for (const wake of this.#idleWaiters.splice(0)) wake();
    }
  }

  async #handle(header: RequestHeader, body: RequestReader, signal: AbortSignal): Promise<Reply> {
    const handler = HANDLERS.get(header.opcode);
    if (handler === undefined) throw new FsError('ENOSYS');
    const context = this.#context;
    if (context === undefined) throw new MalformedRequest('request before INIT');
    const { uid, gid, pid } = header;
    const request: Request = { header, ino: header.nodeId as Ino, caller: { uid, gid, pid }, body, signal };
    return handler(request, context);
  }

  #deliver(unique: number, reply: Reply): void {
    const { message, data } = reply;
    let outcome: ReplyOutcome;
    if (data === undefined || data.length === 0) {
      outcome = this.#channel.reply([finishReply(message, unique)]);
    } else {
      let dataBytes = 0;
      for (const piece of data) dataBytes += piece.length;
      outcome = this.#channel.reply([finishReply(message, unique, dataBytes), ...data]);
    }
    if (outcome === 'delivered') return;
    reply.undelivered?.();
    if (outcome === 'refused') this.#channel.reply([encodeError(unique, ERRNO.EIO)]);
  }

  #errnoOf(thrown: unknown, { opcode, nodeId, pid }: RequestHeader): number {
    const fields = { operation: opcodeName(opcode), ino: nodeId, pid };
    if (thrown instanceof MalformedRequest) {
      this.#logger.error({ err: thrown, ...fields }, 'malformed request from the kernel');
      return ERRNO.EINVAL;
    }
    const error = asFsError(thrown);
    if (error !== thrown) this.#logger.error({ err: thrown, ...fields }, 'a request failed unexpectedly');
    else if (error.code === 'EIO') this.#logger.warn({ err: error, ...fields }, 'a request failed');
    return error.errno;
  }
}
