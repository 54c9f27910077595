import type { Attr } from '../gen/ringfs/v1/namespace.ts';
import { GatewayError } from './errors.ts';

/**
 * Strong: an inode's number is not used again, and the version is the index of the commit that last changed the content. A change of
 * mode or name alone leaves it as it is.
 */
export const etagOf = (attr: Pick<Attr, 'ino' | 'dataVersion'>): string =>
  `"${attr.ino.toString(16)}-${attr.dataVersion.toString(16)}"`;

export const lastModified = (attr: Pick<Attr, 'mtimeSec'>): string =>
  new Date(attr.mtimeSec * 1000).toUTCString();

export interface Conditions {
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
  readonly ifModifiedSince?: string | undefined;
  readonly ifUnmodifiedSince?: string | undefined;
  readonly ifRange?: string | undefined;
}

type Headers = Readonly<Record<string, string | undefined>>;

export const conditionsOf = (headers: Headers): Conditions => ({
  ifMatch: headers['if-match'],
  ifNoneMatch: headers['if-none-match'],
  ifModifiedSince: headers['if-modified-since'],
  ifUnmodifiedSince: headers['if-unmodified-since'],
  ifRange: headers['if-range'],
});

/** Whether a list of tags, or `*`, names this one. `weak`: tags that say W/ count (RFC 9110, 8.8.3.2). */
function names(list: string, etag: string, weak: boolean): boolean {
  if (list.trim() === '*') return true;
  const tags = list.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return tags.some((tag) => tag === etag || (weak && tag === `W/${etag}`));
}

/** Seconds of an HTTP date; undefined when it is none, which makes its header void. */
function secondsOf(date: string | undefined): number | undefined {
  if (date === undefined) return undefined;
  const ms = Date.parse(date);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}

const failed = (message: string): never => {
  throw new GatewayError('PRECONDITION_FAILED', message);
};

/** Of a file that is read (RFC 9110, 13.2.2): whether the client has it already. Throws PRECONDITION_FAILED. */
export function isNotModified(conditions: Conditions, attr: Attr): boolean {
  const { ifMatch, ifNoneMatch, ifModifiedSince, ifUnmodifiedSince } = conditions;
  if (ifMatch !== undefined) {
    if (!names(ifMatch, etagOf(attr), false)) failed('the file is not the one of If-Match');
  } else {
    const limit = secondsOf(ifUnmodifiedSince);
    if (limit !== undefined && attr.mtimeSec > limit) failed('the file was modified since');
  }
  if (ifNoneMatch !== undefined) return names(ifNoneMatch, etagOf(attr), true);
  const since = secondsOf(ifModifiedSince);
  return since !== undefined && attr.mtimeSec <= since;
}

/** Whether `Range` counts: with `If-Range` only if the file is still the one it was begun with. */
export function rangeCounts({ ifRange }: Conditions, attr: Attr): boolean {
  if (ifRange === undefined || ifRange === etagOf(attr)) return true;
  // A date is no strong validator: two changes in one second look the same (RFC 9110, 13.1.5).
  return false;
}

/** Of a file that is to be changed, or undefined if there is none. Throws PRECONDITION_FAILED. */
export function checkChange(conditions: Conditions, attr: Attr | undefined): void {
  const { ifMatch, ifNoneMatch, ifUnmodifiedSince } = conditions;
  if (ifMatch !== undefined && (attr === undefined || !names(ifMatch, etagOf(attr), false)))
    failed(attr === undefined ? 'there is no file' : 'the file is not the one of If-Match');
  if (ifNoneMatch !== undefined && attr !== undefined && names(ifNoneMatch, etagOf(attr), true))
    failed('there is such a file');
  const limit = ifMatch === undefined ? secondsOf(ifUnmodifiedSince) : undefined;
  if (limit !== undefined && attr !== undefined && attr.mtimeSec > limit)
    failed('the file was modified since');
}

/** Whether a change depends on what is there. */
export const isConditional = ({ ifMatch, ifNoneMatch, ifUnmodifiedSince }: Conditions): boolean =>
  ifMatch !== undefined || ifNoneMatch !== undefined || ifUnmodifiedSince !== undefined;
