import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OPS_PER_COMMIT_MAX } from '../../../../src/base/limits.ts';
import { decodeCommand } from '../../../../src/core/namespace/apply.ts';
import { listBlockNodes, readCluster, readCounters } from '../../../../src/core/namespace/read.ts';
import { Command } from '../../../../src/gen/ringfs/v1/namespace.ts';
import { NamespaceFixture } from '../../../support/namespace-fixture.ts';
import { NamespaceMachine } from '../../../support/namespace-machine.ts';
import {
  block,
  bytes,
  inline,
  mkdir,
  mkfile,
  rename,
  setXattr,
  unlink,
  write,
} from '../../../support/namespace-ops.ts';
import { stateHash } from '../../../support/state-hash.ts';

test('a cluster is initialised once', async () => {
  const fs = new NamespaceFixture();
  const hash = await stateHash(fs.machine.store);
  const value = { clusterId: 'other', time: { sec: 9, nsec: 9 }, replicas: 1, formatVersion: 1 };
  const again = fs.machine.apply({ body: { $case: 'initCluster', value } });
  assert.deepEqual([again.result.body?.$case, again.duplicate], ['ok', true]);
  assert.equal(await stateHash(fs.machine.store), hash);
  assert.equal((await readCluster(fs.machine.store))?.clusterId, 'c');
  assert.deepEqual(await readCounters(fs.machine.store), {
    nextIno: 2,
    inodes: 1,
    allocatedBytes: 0,
    version: 1,
  });
  const root = fs.attr(1);
  assert.deepEqual([root.mode, root.nlink, root.parent], [0o40755, 2, 1]);
});

test('an unknown format version or no identity is refused', async () => {
  const machine = new NamespaceMachine();
  const good = { clusterId: 'c', time: undefined, replicas: 3, formatVersion: 1 };
  for (const bad of [{ formatVersion: 2 }, { clusterId: '' }, { replicas: 0 }]) {
    const outcome = machine.apply({ body: { $case: 'initCluster', value: { ...good, ...bad } } });
    assert.equal(outcome.result.body?.$case, 'rejected');
  }
  assert.equal(await readCluster(machine.store), undefined);
  assert.equal((await readCounters(machine.store)).inodes, 0);
});

test('block nodes are registered and replaced', async () => {
  const { machine } = new NamespaceFixture();
  const register = (id: string, address: string): string | undefined => {
    const node = { id, address, capacityBytes: 10, usedBytes: 1, virtualNodes: 32 };
    return machine.apply({ body: { $case: 'registerBlockNode', value: { node } } }).result.body?.$case;
  };
  register('s2', 'b:1');
  register('s1', 'a:1');
  register('s2', 'b:2');
  const nodes = await listBlockNodes(machine.store);
  assert.deepEqual(
    nodes.map(({ node }) => [node.id, node.address]),
    [
      ['s1', 'a:1'],
      ['s2', 'b:2'],
    ],
  );
  assert.equal(register('', 'x'), 'rejected');
  assert.equal(register('ü', 'x'), 'rejected');
  const nothing = machine.apply({ body: { $case: 'registerBlockNode', value: { node: undefined } } });
  assert.equal(nothing.result.body?.$case, 'rejected');
});

test('what is no command is refused and changes nothing', async () => {
  const { machine } = new NamespaceFixture();
  const hash = await stateHash(machine.store);
  for (const bytes of [[], [255], [10, 5, 1], [0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f], [0x7a, 0]]) {
    const [outcome] = machine.applyBatch([Uint8Array.from(bytes)]);
    assert.equal(outcome?.result.body?.$case, 'rejected', bytes.join());
  }
  assert.equal(await stateHash(machine.store), hash);
});

test('no bytes make it throw', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const seeds = [
    [write(f, [block(0, 10, 'a')]), rename(1, 'f', 1, 'g')],
    [mkfile(1, 'x'), write(f, [block(100, 10, 'b')])],
  ].map((ops, i) => {
    const commit = {
      session: fs.session,
      sequence: i + 2,
      ackedBelow: 1,
      time: { sec: 1, nsec: 1 },
      preconditions: [{ body: { $case: 'inode' as const, value: { ino: f, version: 3 } } }],
      ops,
      assumedBlocks: [],
    };
    return Command.encode({ body: { $case: 'commit', value: commit } }).finish();
  });
  const mutations = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(fc.constantFrom(...seeds), mutations, fc.nat(), (seed, changes, cut) => {
      let bytes = seed.slice();
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      if (cut % 3 === 0) bytes = bytes.slice(0, cut % bytes.length);
      const [outcome] = fs.machine.applyBatch([bytes]);
      assert.ok(outcome?.result.body);
    }),
    { numRuns: 3000 },
  );
});

test('malformed bytes decode to the empty command', () => {
  assert.deepEqual(decodeCommand(Uint8Array.of(0x0a, 0x7f)), { body: undefined });
});

test('a commit has a time and a bounded number of ops', () => {
  const fs = new NamespaceFixture();
  const many = Array.from({ length: OPS_PER_COMMIT_MAX + 1 }, (_, i) => mkfile(1, `${i}`));
  assert.equal(fs.commit(many).result.body?.$case, 'rejected');
  assert.equal(fs.commit(many.slice(1)).result.body?.$case, 'ok');
  assert.equal(fs.commit([], { time: undefined }).result.body?.$case, 'rejected');
  assert.equal(fs.commit([], { time: { sec: 0, nsec: 1_000_000_000 } }).result.body?.$case, 'rejected');
  assert.equal(fs.commit([{ body: undefined }]).result.body?.$case, 'rejected');
  assert.equal(fs.commit([]).result.body?.$case, 'ok');
});

test('a tree is made in one commit without asking the store for what cannot be there', () => {
  const fs = new NamespaceFixture();
  const made = (k: number): number => Number.MAX_SAFE_INTEGER - k;
  const { retries } = fs.machine;
  fs.ok(
    mkdir(1, 'd'),
    mkfile(made(0), 'a'),
    mkdir(made(0), 'b'),
    mkfile(made(2), 'c'),
    write(made(3), [inline(0, 'x')]),
    setXattr(made(3), 'user.a', bytes('1')),
    setXattr(made(3), 'user.b', bytes('2')),
    unlink(made(0), 'a'),
  );
  assert.equal(fs.machine.retries, retries);
});
