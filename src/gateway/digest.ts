import { createHash, type Hash } from 'node:crypto';
import { GatewayError } from './errors.ts';

/** Of RFC 9530, those that are not broken. */
const ALGORITHMS: Readonly<Record<string, string>> = { 'sha-256': 'sha256', 'sha-512': 'sha512' };

/** Compares what passes with what the client says of it. */
export class DigestCheck {
  readonly #wanted: readonly { readonly name: string; readonly hash: Hash; readonly digest: Buffer }[];

  /** `header`: Content-Digest. Throws BAD_DIGEST when it names no algorithm that is known here. */
  constructor(header: string | undefined) {
    this.#wanted = header === undefined ? [] : parse(header);
  }

  update(data: Uint8Array): void {
    for (const { hash } of this.#wanted) hash.update(data);
  }

  /** At the end. Throws BAD_DIGEST. */
  check(): void {
    for (const { name, hash, digest } of this.#wanted) {
      if (!hash.digest().equals(digest))
        throw new GatewayError('BAD_DIGEST', `the ${name} of the body is not that of Content-Digest`);
    }
  }
}

/** `sha-256=:BASE64:, sha-512=:BASE64:` (a dictionary of RFC 8941). */
function parse(header: string): { name: string; hash: Hash; digest: Buffer }[] {
  const found = header.split(',').flatMap((part) => {
    const match = /^\s*([a-z0-9-]+)=:([A-Za-z0-9+/]+={0,2}):\s*$/.exec(part);
    if (match === null) throw new GatewayError('BAD_DIGEST', 'Content-Digest is written sha-256=:BASE64:');
    const [, name = '', base64 = ''] = match;
    const algorithm = ALGORITHMS[name];
    if (algorithm === undefined) return [];
    return [{ name, hash: createHash(algorithm), digest: Buffer.from(base64, 'base64') }];
  });
  // What was asked to be checked and was not would look like a success.
  if (found.length === 0) throw new GatewayError('BAD_DIGEST', 'only sha-256 and sha-512 are checked');
  return found;
}
