import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BlockReply, BlockRequest } from '../../../../src/gen/ringfs/v1/block.ts';
import { serializeBlockReply, serializeBlockRequest } from '../../../../src/io/grpc/block-codec.ts';

/** As grpc-js does it: behind a prefix in a buffer of its own. */
function framed(message: Buffer): Uint8Array {
  const out = Buffer.allocUnsafe(message.length + 5);
  message.copy(out, 5);
  return new Uint8Array(out.subarray(5));
}

describe('the codec of messages that carry blocks', () => {
  const sizes = fc.oneof(
    fc.integer({ min: 0, max: 20_000 }),
    fc.constantFrom(4095, 4096, 16_383, 16_384, 2_097_151, 2_097_152, 4 << 20),
  );
  const ids = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

  it('gives what the generated decoder takes for the same message', () => {
    const property = fc.property(ids, sizes, fc.boolean(), (id, size, replicate) => {
      const data = new Uint8Array(size).fill(id & 0xff);
      const request: BlockRequest = {
        id,
        body: {
          $case: 'put',
          value: { blockId: new Uint8Array(32).fill(7), data, replicate, uploadedAt: id },
        },
      };
      assert.deepEqual(BlockRequest.decode(framed(serializeBlockRequest(request))), request);
      const reply: BlockReply = { id, body: { $case: 'get', value: { data, uploadedAt: id } } };
      assert.deepEqual(BlockReply.decode(framed(serializeBlockReply(reply))), reply);
    });
    fc.assert(property, { numRuns: 60 });
  });

  it('leaves other messages to the generated encoder', () => {
    const request: BlockRequest = {
      id: 3,
      body: { $case: 'has', value: { blockIds: [new Uint8Array(32)] } },
    };
    assert.deepEqual(framed(serializeBlockRequest(request)), BlockRequest.encode(request).finish());
  });
});
