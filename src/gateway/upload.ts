import { FsError } from '../base/errno.ts';
import type { Ino } from '../base/ids.ts';
import { GATEWAY_REPLACE_TRIES_MAX } from '../base/limits.ts';
import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import type { FileHandle } from '../ports/file-system.ts';
import type { HttpRequest } from '../ports/http.ts';
import { isDirectory, isRegular } from '../vfs/mode.ts';
import { type Conditions, checkChange, isConditional } from './conditions.ts';
import type { GatewayContext, Tree } from './context.ts';
import type { DigestCheck } from './digest.ts';
import { GatewayError } from './errors.ts';
import type { Entry } from './tree.ts';

const O_WRONLY = 1;
const NEW_FILE_MODE = 0o644;

export interface Uploaded {
  readonly attr: Attr;
  /** False: it took the place of another one. */
  readonly created: boolean;
}

/** What an upload cannot take the place of. Throws EISDIR, EEXIST. */
export function checkReplaceable(attr: Attr | undefined): void {
  if (attr === undefined || isRegular(attr)) return;
  if (isDirectory(attr)) throw new FsError('EISDIR');
  throw new FsError('EEXIST', 'there is something that is no regular file');
}

/**
 * Writes `body` to a file without a name, and gives it the name once it is whole, is what its digest says, and is durable. Until then
 * nothing can be seen of it, and whatever fails leaves nothing behind: the file is gone when it is closed, or with this session.
 */
export async function upload(
  context: GatewayContext,
  entry: Entry,
  old: Attr | undefined,
  { request, conditions, digest }: { request: HttpRequest; conditions: Conditions; digest: DigestCheck },
): Promise<Uploaded> {
  const { tree } = context;
  const { files } = tree;
  const { signal } = request;
  // As if it had been written in place: nobody may read more than before.
  const caller = old === undefined ? context.caller : { uid: old.uid, gid: old.gid, pid: 0 };
  const mode = old === undefined ? NEW_FILE_MODE : old.mode & 0o777;
  const { handle, attr } = await files.tmpfile(caller, entry.parent, mode, O_WRONLY, signal);
  const ino = attr.ino as Ino;
  let lookups = 1;
  try {
    await receive(tree, { ino, handle }, request, digest);
    digest.check();
    // Not to be interrupted any more: what a client that goes away now would leave undecided is done.
    const uploaded = await putInPlace(tree, ino, entry, conditions);
    lookups++;
    return uploaded;
  } finally {
    await files.release(ino, handle);
    files.forget(ino, lookups);
  }
}

async function receive(
  { files }: Tree,
  { ino, handle }: { readonly ino: Ino; readonly handle: FileHandle },
  { body, signal }: HttpRequest,
  digest: DigestCheck,
): Promise<void> {
  let offset = 0;
  for await (const data of wholeBody(body)) {
    digest.update(data);
    // Waits while too much is on its way to the servers: so the client waits too.
    offset += await files.write(ino, handle, offset, data, signal);
  }
}

async function* wholeBody(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  const parts = body[Symbol.asyncIterator]();
  for (;;) {
    let next: IteratorResult<Uint8Array>;
    try {
      next = await parts.next();
    } catch (error) {
      throw new GatewayError('INCOMPLETE', `the body ended early: ${(error as Error).message}`);
    }
    if (next.done === true) return;
    yield next.value;
  }
}

/** Whether the conditions hold is decided by the commit that gives the name, not before it. */
async function putInPlace(
  { meta, files }: Tree,
  ino: Ino,
  { parent, name }: Entry,
  conditions: Conditions,
): Promise<Uploaded> {
  for (let tries = 0; tries < GATEWAY_REPLACE_TRIES_MAX; tries++) {
    const old = await meta.lookup(parent, name);
    checkChange(conditions, old);
    if (old !== undefined && isDirectory(old)) throw new FsError('EISDIR');
    try {
      if (old === undefined) return { attr: await files.link(ino, parent, name), created: true };
      const expected = isConditional(conditions) ? { ino: old.ino as Ino, version: old.version } : undefined;
      return { attr: await files.linkOver(ino, parent, name, expected), created: false };
    } catch (thrown) {
      if (!isOvertaken(thrown, old !== undefined)) throw thrown;
    }
  }
  throw new GatewayError('BUSY', 'others change this file all the time', { 'retry-after': '1' });
}

/** Somebody made, removed or changed the file since it was looked at. */
function isOvertaken(thrown: unknown, existed: boolean): boolean {
  if (!(thrown instanceof FsError)) return false;
  return existed ? thrown.code === 'ENOENT' || thrown.code === 'EAGAIN' : thrown.code === 'EEXIST';
}
