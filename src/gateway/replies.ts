import type { HttpReply } from '../ports/http.ts';
import { failureOf, GatewayError } from './errors.ts';

/** What comes from the tree is anybody's: it must not act as a page of this origin, nor be taken for another type than it says. */
export const CONTENT_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'",
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
  // It may be kept, but must be asked for again, with its tag.
  'cache-control': 'no-cache',
};

export function json(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): HttpReply {
  return {
    status,
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
      ...headers,
    },
    body: `${JSON.stringify(value)}\n`,
  };
}

export const empty = (status: number, headers: Readonly<Record<string, string>> = {}): HttpReply => ({
  status,
  headers: { 'cache-control': 'no-store', ...headers },
});

export function failureReply(thrown: unknown, path: string | undefined): HttpReply {
  const { status, code, message, headers } = failureOf(thrown);
  return json(status, { error: { code, message, path: path ?? null } }, headers);
}

/** A whole number of the query. Throws BAD_REQUEST. */
export function numberOf(text: string | undefined, what: string, fallback: number, max: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new GatewayError('BAD_REQUEST', `${what} is a whole number from 1 to ${max}`);
}

/** A parameter that is there or not: `?parents`. Throws BAD_REQUEST. */
export function flagOf(text: string | undefined, what: string): boolean {
  if (text === undefined || text === 'false' || text === '0') return false;
  if (text === '' || text === 'true' || text === '1') return true;
  throw new GatewayError('BAD_REQUEST', `${what} is given without a value`);
}
