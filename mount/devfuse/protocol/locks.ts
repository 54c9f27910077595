import type { HeldLock, LockRequest } from '../../../src/ports/file-system.ts';
import { LK_FLOCK } from './constants.ts';
import { MalformedRequest, MessageWriter, type RequestReader } from './wire.ts';

/** GETLK, SETLK and SETLKW. */

const F_RDLCK = 0;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** The largest off_t. */
const OFFSET_MAX = 2n ** 63n - 1n;

export interface LockMessage {
  readonly handle: number;
  readonly request: LockRequest;
}

/** struct fuse_lk_in. */
export function decodeLock(body: RequestReader): LockMessage {
  const [handle, owner, first, last] = [body.id(), body.big(), body.big(), body.big()];
  const [type, pid, flags] = [body.u32(), body.u32(), body.u32()];
  if (first > last || last > OFFSET_MAX) throw new MalformedRequest(`a lock from ${first} to ${last}`);
  const flock = (flags & LK_FLOCK) !== 0;
  return { handle, request: { owner, flock, type: typeOf(type), first, last, pid } };
}

function typeOf(type: number): LockRequest['type'] {
  if (type === F_RDLCK) return 'read';
  if (type === F_WRLCK) return 'write';
  if (type === F_UNLCK) return 'unlock';
  throw new MalformedRequest(`a lock of type ${type}`);
}

/** struct fuse_lk_out. */
export function encodeLock(held: HeldLock | undefined): Buffer {
  const out = MessageWriter.reply(24);
  if (held === undefined) return out.big(0n).big(OFFSET_MAX).u32(F_UNLCK).u32(0).bytes;
  const type = held.type === 'write' ? F_WRLCK : F_RDLCK;
  return out.big(held.first).big(held.last).u32(type).u32(held.pid).bytes;
}
