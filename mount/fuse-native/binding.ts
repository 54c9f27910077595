import type Fuse from 'fuse-native';
import type { Signal } from 'fuse-native';
import { ERRNO } from '../../src/base/errno.ts';
import { joinNames } from './names.ts';

/**
 * What the adapter gives to fuse-native. Numbers of a result are negative errnos, or a count where one is meant. `path` is
 * absolute within the mount.
 */
export interface NativeOperations {
  fgetattrArray(path: string, fd: number): Promise<Uint32Array>;
  getxattrBytes(path: string, name: string): Promise<Uint8Array>;
  listxattrBytes(path: string): Promise<readonly Uint8Array[]>;
}

/** Position of `utimens` in the native table of operations (fuse-native.c, op_utimens). */
const OP_UTIMENS = 12;
/** Positions in the native record of a call (fuse_thread_locals_t) on 64-bit machines: size_t atime, then size_t mtime. */
const RECORD_ATIME_AT = 104;
const RECORD_MTIME_AT = 112;
const TWO_32 = 2 ** 32;

/**
 * fuse-native passes the access time twice to `utimens` (FUSE_UINT64_TO_INTS_ARGV(l->atime, 5)). The right modification time is
 * in the native record that comes along; where it should be is checked against the access time, which is next to it.
 */
export function modificationTimeOf(
  record: Buffer,
  atimeLow: number,
  atimeHigh: number,
): { low: number; high: number } | undefined {
  if (record.length < RECORD_MTIME_AT + 8) return undefined;
  if (record.readUInt32LE(RECORD_ATIME_AT) !== atimeLow) return undefined;
  if (record.readUInt32LE(RECORD_ATIME_AT + 4) !== atimeHigh) return undefined;
  return { low: record.readUInt32LE(RECORD_MTIME_AT), high: record.readUInt32LE(RECORD_MTIME_AT + 4) };
}

/** Milliseconds since 1970 as the native record has them: unsigned, so what is before 1970 is a huge number. */
export function millisecondsOf(low: number, high: number): number {
  return high >= TWO_32 / 2 ? 0 : low + high * TWO_32;
}

/** Sends the value, its length, or ERANGE, as getxattr(2) has it. The native side takes the buffer back with every answer. */
function signalBytes(signal: Signal, value: Uint8Array, buffer: Buffer): void {
  if (buffer.length > 0 && value.length > buffer.length) {
    signal(-ERRNO.ERANGE, buffer.buffer);
    return;
  }
  // The buffer of a question for the length alone is detached from the start.
  if (buffer.length > 0) buffer.set(value);
  signal(value.length, buffer.buffer);
}

/** The package's class with its faults worked around; the rest of `operations` is called by the package itself. */
export function correctedFuse(
  Base: typeof Fuse,
  native: NativeOperations,
  errnoOf: (error: unknown) => number,
): typeof Fuse {
  return class extends Base {
    constructor(directory: string, operations: object, options: object) {
      super(directory, operations, options);
      const original = this._handlers[OP_UTIMENS]!;
      this._handlers[OP_UTIMENS] = (record, opcode, path, atimeLow, atimeHigh) => {
        const mtime = modificationTimeOf(record, atimeLow as number, atimeHigh as number);
        const [low, high] = mtime === undefined ? [atimeLow, atimeHigh] : [mtime.low, mtime.high];
        original(record, opcode, path, atimeLow, atimeHigh, low, high);
      };
    }

    protected override _op_fgetattr(signal: Signal, path: string, fd: number): void {
      native.fgetattrArray(path, fd).then(
        (array) => signal(0, array),
        (error: unknown) => signal(errnoOf(error)),
      );
    }

    protected override _op_getxattr(signal: Signal, path: string, name: string, buffer: Buffer): void {
      native.getxattrBytes(path, name).then(
        (value) => signalBytes(signal, value, buffer),
        (error: unknown) => signal(errnoOf(error), buffer.buffer),
      );
    }

    protected override _op_listxattr(signal: Signal, path: string, buffer: Buffer): void {
      native.listxattrBytes(path).then(
        (names) => signalBytes(signal, joinNames(names), buffer),
        (error: unknown) => signal(errnoOf(error), buffer.buffer),
      );
    }
  };
}
