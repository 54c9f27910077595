import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { SnapshotPart } from '../../../../src/gen/ringfs/v1/raft.ts';
import { fetchDump } from '../../../../src/io/grpc/admin-client.ts';
import { GrpcServer } from '../../../../src/io/grpc/server.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';

const PART_BYTES = 256 * 1024;

const rows = (n: number): SnapshotPart => ({
  body: { $case: 'rows', value: { keys: [Uint8Array.of(n & 255)], values: [new Uint8Array(PART_BYTES)] } },
});

describe('a dump over gRPC', () => {
  let server: GrpcServer;
  let address = '';
  let open: () => Promise<AsyncIterableIterator<SnapshotPart>>;
  let ended: Promise<number>;
  let onEnd: (made: number) => void = () => {};

  beforeEach(async () => {
    ended = new Promise((resolve) => {
      onEnd = resolve;
    });
    server = new GrpcServer({ logger: new RecordingLogger() });
    const unused = (): Promise<never> => Promise.reject(new Error('not asked for'));
    const others = {
      status: unused,
      changeMembers: unused,
      garbage: unused,
      manageBlockNodes: unused,
      formation: unused,
    };
    server.addAdmin({ ...others, dump: () => open() });
    address = `127.0.0.1:${await server.listen('127.0.0.1:0')}`;
  });
  afterEach(() => server.close());

  /** `count` parts, then an error if there is one. Tells how many were made when it is ended. */
  async function* parts(count: number, error?: Error): AsyncIterableIterator<SnapshotPart> {
    let made = 0;
    try {
      for (; made < count; made++) yield rows(made);
      if (error !== undefined) throw error;
    } finally {
      onEnd(made);
    }
  }

  it('arrives whole and in order', async () => {
    open = async () => parts(100);
    const keys: number[] = [];
    for await (const part of fetchDump(address)) {
      assert.equal(part.body?.$case, 'rows');
      if (part.body?.$case === 'rows') keys.push(part.body.value.keys[0]![0]!);
    }
    assert.deepEqual(
      keys,
      Array.from({ length: 100 }, (_, i) => i),
    );
    assert.equal(await ended, 100);
  });

  it('fails with what the server says, at its beginning or in the middle', async () => {
    open = () => Promise.reject(new Error('there is no leader'));
    await assert.rejects(fetchDump(address).next(), /there is no leader/);
    open = async () => parts(3, new Error('the store was closed'));
    let seen = 0;
    await assert.rejects(async () => {
      for await (const _ of fetchDump(address)) seen++;
    }, /the store was closed/);
    assert.ok(seen <= 3);
  });

  it('is not made further than its reader reads, and ends with it', async () => {
    const many = 10_000;
    open = async () => parts(many);
    const dump = fetchDump(address);
    await dump.next();
    await dump.return?.();
    assert.ok((await ended) < many);
  });

  it('fails when nobody listens', async () => {
    server.close();
    await assert.rejects(fetchDump(address).next(), new RegExp(address));
  });
});
