import { contentType } from 'mime-types';
import { EMPTY_BYTES } from '../../base/bytes.ts';
import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import { READDIR_ENTRIES_MAX } from '../../base/limits.ts';
import type { Attr } from '../../gen/ringfs/v1/namespace.ts';
import type { HttpReply, HttpRequest } from '../../ports/http.ts';
import { isDirectory, isRegular, O_RDONLY } from '../../vfs/mode.ts';
import { conditionsOf, etagOf, isNotModified, lastModified, rangeCounts } from '../conditions.ts';
import type { GatewayContext } from '../context.ts';
import { describe } from '../describe.ts';
import { GatewayError } from '../errors.ts';
import { FileStream } from '../file-stream.ts';
import { decodeName, encodeName, encodePath, nameForPeople, parsePath } from '../path.ts';
import { type ByteRange, rangeOf } from '../range.ts';
import { CONTENT_HEADERS, flagOf, json, numberOf } from '../replies.ts';
import { find } from '../tree.ts';

/** GET and HEAD /v1/files/PATH: a file's content, or what is in a directory if the path ends with a slash. */
export async function getFile(context: GatewayContext, request: HttpRequest): Promise<HttpReply> {
  const { meta, files } = context.tree;
  const { signal } = request;
  const path = parsePath(request.rest);
  if (path.directory) return await listDirectory(context, request);
  const { attr } = await find(meta, path, { followLast: true }, signal);
  if (isDirectory(attr)) throw new FsError('EISDIR', 'a directory is listed with a slash at its end');
  if (!isRegular(attr)) throw new FsError('EOPNOTSUPP', 'only regular files can be read');
  const name = path.names.at(-1) ?? EMPTY_BYTES;
  const download = flagOf(request.query['download'], 'download');
  if (request.method === 'HEAD') return headerReply(request, attr, name, download);
  const ino = attr.ino as Ino;
  const release = context.downloads.take();
  try {
    const { handle } = await files.open(context.caller, ino, O_RDONLY, signal);
    let streamed = false;
    try {
      // As the open file is: it may have been changed since its name was looked up.
      const { reply, range } = answer(request, await files.getattr(ino, handle, signal), name, download);
      if (range === undefined) return reply;
      streamed = true;
      return { ...reply, body: new FileStream({ files, ino, handle }, range, signal, release) };
    } finally {
      if (!streamed) await files.release(ino, handle).finally(release);
    }
  } catch (thrown) {
    release();
    throw thrown;
  }
}

function headerReply(request: HttpRequest, attr: Attr, name: Uint8Array, download: boolean): HttpReply {
  // Range is for GET (RFC 9110, 14.2).
  return answer({ headers: { ...request.headers, range: undefined } }, attr, name, download).reply;
}

/** Status and headers, and the bytes to send, if any. */
function answer(
  { headers }: Pick<HttpRequest, 'headers'>,
  attr: Attr,
  name: Uint8Array,
  download: boolean,
): { readonly reply: HttpReply; readonly range: ByteRange | undefined } {
  const conditions = conditionsOf(headers);
  const common = { ...CONTENT_HEADERS, etag: etagOf(attr), 'last-modified': lastModified(attr) };
  if (isNotModified(conditions, attr)) return { reply: { status: 304, headers: common }, range: undefined };
  const { size } = attr;
  const wanted = rangeCounts(conditions, attr) ? rangeOf(headers['range'], size) : 'all';
  if (wanted === 'none') {
    throw new GatewayError('BAD_RANGE', `the file has ${size} bytes`, { 'content-range': `bytes */${size}` });
  }
  const range = wanted === 'all' ? { first: 0, last: size - 1 } : wanted;
  const reply = {
    status: wanted === 'all' ? 200 : 206,
    headers: {
      ...common,
      'accept-ranges': 'bytes',
      'content-type': typeOf(name),
      'content-length': String(range.last + 1 - range.first),
      ...(wanted === 'all' ? {} : { 'content-range': `bytes ${range.first}-${range.last}/${size}` }),
      ...(download ? { 'content-disposition': disposition(name) } : {}),
    },
  };
  return { reply, range: size === 0 ? undefined : range };
}

function typeOf(name: Uint8Array): string {
  const extension = /\.[A-Za-z0-9]+$/.exec(nameForPeople(name))?.[0];
  return (extension !== undefined && contentType(extension)) || 'application/octet-stream';
}

/** For a browser to save it under its name (RFC 6266), as far as the name is text. */
function disposition(name: Uint8Array): string {
  const text = nameForPeople(name);
  const plain = text.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  return `attachment; filename="${plain}"; filename*=UTF-8''${encodeName(new TextEncoder().encode(text))}`;
}

/** GET /v1/list/PATH: a page of the entries, in the order of their bytes. */
export async function listDirectory(context: GatewayContext, request: HttpRequest): Promise<HttpReply> {
  const { query, signal } = request;
  const { meta } = context.tree;
  const path = parsePath(request.rest);
  const limit = numberOf(query['limit'], 'limit', READDIR_ENTRIES_MAX, READDIR_ENTRIES_MAX);
  const after = query['after'] === undefined ? EMPTY_BYTES : decodeName(query['after']);
  const { attr } = await find(meta, { ...path, directory: true }, { followLast: true }, signal);
  const { entries, end } = await meta.readdir(attr.ino as Ino, after, limit, true, signal);
  const last = entries.at(-1);
  return json(200, {
    path: encodePath(path.names),
    entries: entries.flatMap((entry) => (entry.attr === undefined ? [] : [describe(entry.name, entry.attr)])),
    next: end || last === undefined ? null : encodeName(last.name),
  });
}

/** GET /v1/stat/PATH: lstat(2). */
export async function statFile(context: GatewayContext, request: HttpRequest): Promise<HttpReply> {
  const path = parsePath(request.rest);
  const { attr } = await find(context.tree.meta, path, { followLast: false }, request.signal);
  return json(200, { path: encodePath(path.names), ...describe(path.names.at(-1) ?? EMPTY_BYTES, attr) });
}
