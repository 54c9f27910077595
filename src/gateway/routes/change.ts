import { z } from 'zod';
import { concatBytes } from '../../base/bytes.ts';
import { asFsError, FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import {
  FILE_SIZE_BYTES_MAX,
  GATEWAY_DELETE_ENTRIES_MAX,
  GATEWAY_JSON_BYTES_MAX,
  GATEWAY_REPLACE_TRIES_MAX,
} from '../../base/limits.ts';
import type { Attr } from '../../gen/ringfs/v1/namespace.ts';
import type { HttpReply, HttpRequest } from '../../ports/http.ts';
import { isDirectory } from '../../vfs/mode.ts';
import { type Conditions, checkChange, conditionsOf, etagOf, isConditional } from '../conditions.ts';
import type { GatewayContext, Tree } from '../context.ts';
import { describe } from '../describe.ts';
import { DigestCheck } from '../digest.ts';
import { GatewayError } from '../errors.ts';
import { encodePath, parsePath, parseRooted, type TreePath } from '../path.ts';
import { removeTree } from '../remove-tree.ts';
import { empty, flagOf, json } from '../replies.ts';
import { type Entry, find, type Place, resolve } from '../tree.ts';
import { checkReplaceable, upload } from '../upload.ts';

const NEW_DIRECTORY_MODE = 0o755;
const RENAME_NOREPLACE = 1;

/** PUT /v1/files/PATH. */
export async function putFile(context: GatewayContext, request: HttpRequest): Promise<HttpReply> {
  const { headers, signal } = request;
  const path = parsePath(request.rest);
  if (path.directory) throw new FsError('EISDIR', 'the name of a file does not end with a slash');
  if (headers['content-range'] !== undefined)
    throw new GatewayError('BAD_REQUEST', 'a file is uploaded whole, without Content-Range');
  if (Number(headers['content-length'] ?? 0) > FILE_SIZE_BYTES_MAX) throw new FsError('EFBIG');
  const digest = new DigestCheck(headers['content-digest']);
  const conditions = conditionsOf(headers);
  const release = context.uploads.take();
  try {
    if (flagOf(request.query['parents'], 'parents')) await makeParents(context, path, signal);
    // As open(2) does, a symbolic link is followed: the file that it leads to is replaced, not the link.
    const { entry, attr } = await resolve(context.tree.meta, path, { followLast: true }, signal);
    if (entry === undefined) throw new FsError('EISDIR');
    checkReplaceable(attr);
    // Decided once more when the file is put in place; here it spares the upload.
    checkChange(conditions, attr);
    const uploaded = await upload(context, entry, attr, { request, conditions, digest });
    return empty(uploaded.created ? 201 : 204, { etag: etagOf(uploaded.attr) });
  } finally {
    release();
  }
}

/** POST /v1/mkdir/PATH. */
export async function makeDirectory(context: GatewayContext, request: HttpRequest): Promise<HttpReply> {
  const { signal } = request;
  const path = parsePath(request.rest);
  const parents = flagOf(request.query['parents'], 'parents');
  if (parents) await makeParents(context, path, signal);
  const place = await resolve(context.tree.meta, path, { followLast: parents }, signal);
  const { entry } = place;
  if (place.attr !== undefined && parents && isDirectory(place.attr)) return told(200, path, place.attr);
  if (place.attr !== undefined || entry === undefined) throw new FsError('EEXIST');
  return told(201, path, await mkdir(context, entry, signal));
}

const told = (status: number, { names }: TreePath, attr: Attr): HttpReply =>
  json(status, { path: encodePath(names), ...describe(names.at(-1) ?? new Uint8Array(0), attr) });

async function mkdir(context: GatewayContext, { parent, name }: Entry, signal: AbortSignal): Promise<Attr> {
  const { files } = context.tree;
  const attr = await files.mkdir(context.caller, parent, name, NEW_DIRECTORY_MODE, signal);
  files.forget(attr.ino as Ino, 1);
  return attr;
}

/** Makes the directories on the way to `path` that are missing. */
async function makeParents(context: GatewayContext, { names }: TreePath, signal: AbortSignal): Promise<void> {
  for (let length = 1; length < names.length; length++) {
    const path = { names: names.slice(0, length), directory: false };
    const { entry, attr } = await resolve(context.tree.meta, path, { followLast: true }, signal);
    if (attr !== undefined || entry === undefined) continue;
    await mkdir(context, entry, signal).catch((thrown: unknown) => {
      // Somebody was faster.
      if (asFsError(thrown).code !== 'EEXIST') throw thrown;
    });
  }
}

/** DELETE /v1/files/PATH: a file or symbolic link, an empty directory, or with `recursive` a part of a tree. */
export async function deleteFile(context: GatewayContext, request: HttpRequest): Promise<HttpReply> {
  const { query, signal } = request;
  const { tree } = context;
  const path = parsePath(request.rest);
  const conditions = conditionsOf(request.headers);
  const { entry, attr } = await find(tree.meta, path, { followLast: false }, signal);
  if (entry === undefined) throw new FsError('EBUSY');
  if (!isDirectory(attr)) {
    await removeFile(tree, entry, attr, conditions, signal);
    return empty(204);
  }
  if (isConditional(conditions)) throw new GatewayError('BAD_REQUEST', 'conditions are for files');
  if (!flagOf(query['recursive'], 'recursive')) {
    await tree.files.rmdir(entry.parent, entry.name, signal);
    return empty(204);
  }
  const root = { ...entry, ino: attr.ino as Ino };
  const { removed, done } = await removeTree(tree, root, GATEWAY_DELETE_ENTRIES_MAX, signal);
  return json(done ? 200 : 202, { removed, done });
}

async function removeFile(
  { meta, files }: Tree,
  { parent, name }: Entry,
  found: Attr,
  conditions: Conditions,
  signal: AbortSignal,
): Promise<void> {
  if (!isConditional(conditions)) return await files.unlink(parent, name, signal);
  let attr: Attr | undefined = found;
  for (let tries = 0; tries < GATEWAY_REPLACE_TRIES_MAX; tries++) {
    checkChange(conditions, attr);
    if (attr === undefined) throw new FsError('ENOENT');
    try {
      const expected = { ino: attr.ino as Ino, version: attr.version };
      return await files.unlinkExpected(parent, name, expected, signal);
    } catch (thrown) {
      if (asFsError(thrown).code !== 'EAGAIN') throw thrown;
      attr = await meta.lookup(parent, name, signal);
    }
  }
  throw new GatewayError('BUSY', 'others change this file all the time', { 'retry-after': '1' });
}

const renameSchema = z.strictObject({ from: z.string(), to: z.string(), noReplace: z.boolean().optional() });

/** POST /v1/rename: rename(2), which is atomic. The paths are percent-encoded, as in a URL. */
export async function renameFile(context: GatewayContext, request: HttpRequest): Promise<HttpReply> {
  const { signal } = request;
  const { meta, files } = context.tree;
  const wanted = renameSchema.safeParse(await jsonBody(request));
  if (!wanted.success)
    throw new GatewayError('BAD_REQUEST', 'the body is {"from": PATH, "to": PATH, "noReplace": BOOLEAN}');
  const { from, to, noReplace } = wanted.data;
  const source = await find(meta, parseRooted(from), { followLast: false }, signal);
  const [old, target] = [entryOf(source), entryOf(await newPlace(context, to, source.attr, signal))];
  const flags = noReplace === true ? RENAME_NOREPLACE : 0;
  await files.rename(old.parent, old.name, target.parent, target.name, flags, signal);
  return empty(204);
}

/** A slash at the end is for directories, which need not be there yet (rename(2)). */
async function newPlace(
  context: GatewayContext,
  to: string,
  moved: Attr,
  signal: AbortSignal,
): Promise<Place> {
  const path = parseRooted(to);
  if (path.directory && !isDirectory(moved)) throw new FsError('ENOTDIR');
  return await resolve(context.tree.meta, { ...path, directory: false }, { followLast: false }, signal);
}

function entryOf({ entry }: Pick<Place, 'entry'>): Entry {
  if (entry === undefined) throw new FsError('EBUSY');
  return entry;
}

/** Throws TOO_LARGE, BAD_REQUEST. */
async function jsonBody({ body }: HttpRequest): Promise<unknown> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.length;
    if (length > GATEWAY_JSON_BYTES_MAX) throw new GatewayError('TOO_LARGE', 'the body is too long');
    parts.push(part);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(concatBytes(parts)));
  } catch {
    throw new GatewayError('BAD_REQUEST', 'the body is not JSON');
  }
}
