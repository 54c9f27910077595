import { createHash } from 'node:crypto';
import type { RowSource } from '../../src/core/namespace/types.ts';

/** SHA-256 over all rows of the state machine in key order: equal on replicas that applied the same log. */
export async function stateHash(source: Pick<RowSource, 'scan'>): Promise<string> {
  const hash = createHash('sha256');
  const length = new Uint8Array(8);
  const view = new DataView(length.buffer);
  // From table 0x01: table 0x00 belongs to the driver.
  for await (const [key, value] of source.scan({ gte: Uint8Array.of(1), lt: Uint8Array.of(0xff) })) {
    view.setUint32(0, key.length);
    view.setUint32(4, value.length);
    hash.update(length).update(key).update(value);
  }
  return hash.digest('hex');
}
