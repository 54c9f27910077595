import { concatBytes } from '../../src/base/bytes.ts';
import type { Ino } from '../../src/base/ids.ts';
import { ROOT_INO } from '../../src/base/ids.ts';
import type { Attr } from '../../src/gen/ringfs/v1/namespace.ts';
import type { Instant, TimerHandle, Timers } from '../../src/ports/clock.ts';
import type { CacheInvalidation, Caller, FileHandle } from '../../src/ports/file-system.ts';
import type { Logger } from '../../src/ports/logger.ts';
import type { VfsOptions } from '../../src/vfs/options.ts';
import { Vfs } from '../../src/vfs/vfs.ts';
import { MemoryBlockService } from './memory-block-service.ts';
import { type MemoryMetaService, type SharedMemoryMeta, sharedMemoryMeta } from './memory-meta-service.ts';

export const ROOT: Caller = { uid: 0, gid: 0, pid: 1 };
export const USER: Caller = { uid: 1000, gid: 1000, pid: 2 };
export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (data: Uint8Array): string => new TextDecoder().decode(data);

/** Timers that fire only when told to. */
export class HandTimers implements Timers {
  #nowMs = 0;
  readonly #pending: { atMs: number; callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  wallTime(): Instant {
    return { sec: 1_700_000_000 + Math.floor(this.#nowMs / 1000), nsec: 0 };
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    const entry = { atMs: this.#nowMs + delayMs, callback };
    this.#pending.push(entry);
    return {
      cancel: () => {
        const at = this.#pending.indexOf(entry);
        if (at >= 0) this.#pending.splice(at, 1);
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.after(delayMs, resolve);
      signal?.addEventListener('abort', () => {
        timer.cancel();
        reject(signal.reason);
      });
    });
  }

  /** Moves time on and fires what is due. */
  advance(ms: number): void {
    this.#nowMs += ms;
    for (;;) {
      const due = this.#pending.findIndex((entry) => entry.atMs <= this.#nowMs);
      if (due < 0) return;
      const [entry] = this.#pending.splice(due, 1);
      entry!.callback();
    }
  }
}

export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

export function recordingLogger(lines: LogLine[]): Logger {
  const at =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.push({ level, fields: fields as Record<string, unknown>, message });
    };
  const logger: Logger = {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: () => logger,
  };
  return logger;
}

export interface Mount {
  readonly vfs: Vfs;
  readonly meta: MemoryMetaService;
  readonly blocks: MemoryBlockService;
  readonly timers: HandTimers;
  readonly logs: LogLine[];
  readonly invalidations: CacheInvalidation[];
}

/** One cluster and any number of mounts of it, all in memory. */
export class Cluster {
  readonly meta: SharedMemoryMeta;
  readonly blocks = new Map();

  constructor(meta: SharedMemoryMeta = sharedMemoryMeta()) {
    this.meta = meta;
  }

  mount(options: Partial<VfsOptions> = {}): Mount {
    const meta = this.meta.client();
    const blocks = new MemoryBlockService(this.blocks);
    const timers = new HandTimers();
    const logs: LogLine[] = [];
    const invalidations: CacheInvalidation[] = [];
    const vfs = new Vfs({ meta, blocks, timers, logger: recordingLogger(logs) }, options);
    vfs.onInvalidate((list) => invalidations.push(...list));
    return { vfs, meta, blocks, timers, logs, invalidations };
  }
}

/** Small sizes, so that a few hundred bytes meet every boundary. */
export const SMALL: Partial<VfsOptions> = {
  blockSizeBytes: 64,
  inlineFileBytesMax: 24,
  extentsPerWindowMax: 8,
  dirtyBytesMax: 1024,
  commitBytesMin: 256,
  putsPerInodeMax: 2,
};

export async function createFile(
  vfs: Vfs,
  name: string,
  flags: number = O_RDWR,
  parent: Ino = ROOT_INO,
): Promise<{ ino: Ino; handle: FileHandle; attr: Attr }> {
  const { handle, attr } = await vfs.create(ROOT, parent, bytes(name), 0o644, flags);
  return { ino: attr.ino as Ino, handle, attr };
}

export async function readAll(vfs: Vfs, ino: Ino, handle: FileHandle, length = 1 << 24): Promise<Uint8Array> {
  return concatBytes(await vfs.read(ino, handle, 0, length));
}

/** Opens by path from the root, reads everything and closes. */
export async function readPath(vfs: Vfs, path: string): Promise<Uint8Array> {
  let ino = ROOT_INO;
  for (const name of path.split('/').filter(Boolean)) ino = (await vfs.lookup(ino, bytes(name))).ino as Ino;
  const { handle } = await vfs.open(ROOT, ino, O_RDONLY);
  try {
    return await readAll(vfs, ino, handle);
  } finally {
    await vfs.flush(ino, handle);
    await vfs.release(ino, handle);
  }
}

/** A hook that waits until `open` is called. */
export function gate(): { wait: () => Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { wait: () => opened, open };
}

/** Lets everything that only waits for resolved promises happen. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** The errno with which `promise` fails, or undefined. */
export async function errnoOf(promise: Promise<unknown>): Promise<string | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
