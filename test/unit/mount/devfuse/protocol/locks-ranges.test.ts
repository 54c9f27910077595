/** Locks and ranges byte by byte, against the layouts of include/uapi/linux/fuse.h. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeLock, encodeLock } from '../../../../../mount/devfuse/protocol/locks.ts';
import {
  decodeCopyFileRange,
  decodeFallocate,
  decodeLseek,
  encodeCopied64,
  encodeLseek,
} from '../../../../../mount/devfuse/protocol/ranges.ts';
import { MalformedRequest, RequestReader } from '../../../../../mount/devfuse/protocol/wire.ts';

const WHOLE_FILE_END = 'ffffffffffffff7f';

const reader = (...hex: string[]): RequestReader => new RequestReader(Buffer.from(hex.join(''), 'hex'));
const bodyHex = (message: Buffer): string => message.subarray(16).toString('hex');

/** struct fuse_lk_in. */
const lockHex = (lock: { first?: string; last?: string; type?: string; flags?: string }): string[] => [
  '0900000000000000', // fh
  'f0debc9a78563412', // owner
  lock.first ?? '1000000000000000',
  lock.last ?? WHOLE_FILE_END,
  lock.type ?? '01000000',
  '39300000', // pid
  lock.flags ?? '00000000', // lk_flags
  '00000000',
];

describe('FUSE locks', () => {
  it('decodes struct fuse_lk_in', () => {
    const request = {
      owner: 0x1234_5678_9abc_def0n,
      flock: false,
      type: 'write',
      first: 16n,
      last: 2n ** 63n - 1n,
      pid: 12_345,
    };
    assert.deepEqual(decodeLock(reader(...lockHex({}))), { handle: 9, request });
    assert.deepEqual(decodeLock(reader(...lockHex({ type: '00000000' }))).request, {
      ...request,
      type: 'read',
    });
    assert.deepEqual(decodeLock(reader(...lockHex({ type: '02000000', flags: '01000000' }))).request, {
      ...request,
      type: 'unlock',
      flock: true,
    });
  });

  it('refuses what no kernel sends', () => {
    const refused = (lock: Parameters<typeof lockHex>[0]): void =>
      assert.throws(() => decodeLock(reader(...lockHex(lock))), MalformedRequest);
    refused({ type: '03000000' });
    refused({ first: '0200000000000000', last: '0100000000000000' });
    refused({ last: '0000000000000080' }); // behind the largest off_t
    assert.throws(() => decodeLock(reader(...lockHex({}).slice(0, 5))), MalformedRequest);
  });

  it('encodes struct fuse_lk_out', () => {
    const held = { type: 'read', first: 5n, last: 2n ** 63n - 1n, pid: 12_345 } as const;
    assert.equal(bodyHex(encodeLock(held)), `0500000000000000${WHOLE_FILE_END}0000000039300000`);
    const written = encodeLock({ ...held, type: 'write', last: 9n });
    assert.equal(bodyHex(written), '0500000000000000' + '0900000000000000' + '01000000' + '39300000');
    // F_UNLCK: nobody holds one that would be in the way.
    assert.equal(bodyHex(encodeLock(undefined)), `0000000000000000${WHOLE_FILE_END}0200000000000000`);
  });
});

describe('FUSE ranges', () => {
  it('decodes LSEEK and encodes its answer', () => {
    const lseek = (whence: string): string[] => ['0900000000000000', '0000000001000000', whence, '00000000'];
    assert.deepEqual(decodeLseek(reader(...lseek('03000000'))), {
      handle: 9,
      offset: 2 ** 32,
      whence: 'data',
    });
    assert.equal(decodeLseek(reader(...lseek('04000000'))).whence, 'hole');
    assert.throws(() => decodeLseek(reader(...lseek('02000000'))), MalformedRequest);
    assert.equal(bodyHex(encodeLseek(2 ** 40 + 1)), '0100000000010000');
  });

  it('decodes FALLOCATE', () => {
    const body = ['0900000000000000', '0010000000000000', '0000000000010000', '03000000', '00000000'];
    assert.deepEqual(decodeFallocate(reader(...body)), { handle: 9, offset: 4096, length: 2 ** 40, mode: 3 });
  });

  it('decodes COPY_FILE_RANGE and encodes the answer of its 64-bit form', () => {
    const body = [
      '0900000000000000', // fh_in
      '0100000000000000', // off_in
      '0700000000000000', // nodeid_out
      '0a00000000000000', // fh_out
      '0200000000000000', // off_out
      '0000000001000000', // len
      '0000000000000000',
    ];
    assert.deepEqual(decodeCopyFileRange(reader(...body)), {
      handle: 9,
      offset: 1,
      targetNodeId: 7,
      targetHandle: 10,
      targetOffset: 2,
      length: 2 ** 32,
      flags: 0,
    });
    assert.equal(bodyHex(encodeCopied64(2 ** 32)), '0000000001000000');
  });
});
