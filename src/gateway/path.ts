import { NAME_BYTES_MAX } from '../base/limits.ts';
import { GatewayError } from './errors.ts';

/** A path from the root of the tree, as a request names it. */
export interface TreePath {
  readonly names: readonly Uint8Array[];
  /** It ends with a slash: it must lead to a directory. */
  readonly directory: boolean;
}

const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
/** Unreserved in RFC 3986: what is never encoded. */
const PLAIN: ReadonlySet<number> = new Set(
  [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~'].map((c) => c.charCodeAt(0)),
);

const refuse = (message: string): never => {
  throw new GatewayError('BAD_PATH', message);
};

/**
 * Reads `a/b%20c`, with or without a slash at its end; empty: the root. Names are bytes, so what is encoded need not be UTF-8.
 * Throws GatewayError for what could mean another file than it says: `.`, `..`, empty names, encoded slashes, zero bytes.
 */
export function parsePath(encoded: string): TreePath {
  if (encoded === '') return { names: [], directory: true };
  const parts = encoded.split('/');
  const directory = parts.at(-1) === '';
  if (directory) parts.pop();
  return { names: parts.map(decodeName), directory };
}

/** The same with a slash before it, or without. */
export const parseRooted = (encoded: string): TreePath =>
  parsePath(encoded.startsWith('/') ? encoded.slice(1) : encoded);

/** One name. Throws GatewayError. */
export function decodeName(encoded: string): Uint8Array {
  const out = new Uint8Array(encoded.length);
  let length = 0;
  for (let i = 0; i < encoded.length; i++) {
    let byte = encoded.charCodeAt(i);
    if (byte <= 0x20 || byte >= 0x7f) refuse('characters beyond ASCII, and spaces, are percent-encoded');
    if (byte === PERCENT) {
      const digits = encoded.slice(i + 1, i + 3);
      if (!/^[0-9A-Fa-f]{2}$/.test(digits)) refuse('a percent sign is followed by two hexadecimal digits');
      byte = Number.parseInt(digits, 16);
      i += 2;
    }
    if (byte === SLASH) refuse('a name has no slash in it');
    if (byte === 0) refuse('a name has no zero byte in it');
    out[length++] = byte;
  }
  const name = out.slice(0, length);
  if (length === 0) refuse('a name is empty: two slashes in a row');
  if (name.every((byte) => byte === DOT) && length <= 2) refuse('. and .. are not followed');
  if (length > NAME_BYTES_MAX) refuse(`a name is longer than ${NAME_BYTES_MAX} bytes`);
  return name;
}

/** The inverse of `decodeName`. */
export function encodeName(name: Uint8Array): string {
  let out = '';
  for (const byte of name) {
    out += PLAIN.has(byte)
      ? String.fromCharCode(byte)
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}

/** `/a/b%20c`, `/` for the root. */
export const encodePath = (names: readonly Uint8Array[]): string => `/${names.map(encodeName).join('/')}`;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** For showing: what is not UTF-8 becomes U+FFFD. */
export const nameForPeople = (name: Uint8Array): string => utf8.decode(name);
