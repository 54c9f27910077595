import { createHash } from 'node:crypto';
import { fromHex } from '../base/bytes.ts';
import type { BlockId } from '../base/ids.ts';

/** The name of a block: SHA-256 of its content, as text and as the 32 bytes on the wire. */
export function blockIdOf(data: Uint8Array): { readonly id: BlockId; readonly key: Uint8Array } {
  const digest = createHash('sha256').update(data).digest();
  return { id: digest.toString('hex') as BlockId, key: digest };
}

export function blockKey(id: BlockId): Uint8Array {
  return fromHex(id);
}
