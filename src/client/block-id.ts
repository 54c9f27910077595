import { createHash, webcrypto } from 'node:crypto';
import { fromHex } from '../base/bytes.ts';
import type { BlockId } from '../base/ids.ts';

/** The name of a block: SHA-256 of its content, as text and as the 32 bytes on the wire. */
export function blockIdOf(data: Uint8Array): { readonly id: BlockId; readonly key: Uint8Array } {
  const digest = createHash('sha256').update(data).digest();
  return { id: digest.toString('hex') as BlockId, key: digest };
}

/** Below this the way to another thread and back takes longer than the hash. */
const POOLED_BYTES_MIN = 128 * 1024;

/** The same; large data is hashed by a thread of the pool, so that whoever answers requests can go on. */
export async function blockIdOfLarge(
  data: Uint8Array,
): Promise<{ readonly id: BlockId; readonly key: Uint8Array }> {
  if (data.length < POOLED_BYTES_MIN) return blockIdOf(data);
  const digest = Buffer.from(await webcrypto.subtle.digest('SHA-256', data));
  return { id: digest.toString('hex') as BlockId, key: digest };
}

export function blockKey(id: BlockId): Uint8Array {
  return fromHex(id);
}
