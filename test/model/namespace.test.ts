import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errnoName } from '../../src/base/errno.ts';
import { CHUNK_SIZE_BYTES } from '../../src/base/limits.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { Command, CommitResult, type Extent, type Op } from '../../src/gen/ringfs/v1/namespace.ts';
import { namespaceFindings } from '../support/namespace-findings.ts';
import { NamespaceMachine } from '../support/namespace-machine.ts';
import * as ops from '../support/namespace-ops.ts';
import { stateHash } from '../support/state-hash.ts';
import { checkAgainstOracle, checkDerivedRows, checkOnlyRoot, tagsOf } from './namespace-checks.ts';
import { Oracle, type OracleNode, type OraclePiece } from './namespace-oracle.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e'];
const BASES = [0, 0, 0, CHUNK_SIZE_BYTES - 20, 3 * CHUNK_SIZE_BYTES, 2 ** 38 + 7];
const BLOCK_BYTES = 64;

/** One random op, as the state machine gets it and as the oracle gets it. */
interface Step {
  readonly op: Op;
  readonly believe: (oracle: Oracle) => void;
}

const pick = <T>(random: Random, list: readonly T[]): T => list[random.below(list.length)]!;

function anyIno(random: Random, oracle: Oracle, kind?: OracleNode['kind']): number {
  const all = oracle.nodes();
  // Mostly what fits, sometimes anything, rarely nothing.
  if (random.below(50) === 0) return 100_000;
  const fitting = all.filter((n) => n.kind === kind);
  if (kind !== undefined && fitting.length > 0 && random.below(15) > 0) return pick(random, fitting).ino;
  return pick(random, all).ino;
}

function randomExtents(random: Random, base: number): { extents: Extent[]; pieces: OraclePiece[] } {
  const extents: Extent[] = [];
  let offset = base + random.below(60);
  for (let i = random.below(3); i >= 0; i--) {
    const length = 1 + random.below(40);
    const at = random.below(BLOCK_BYTES - length + 1);
    extents.push(
      random.below(4) === 0
        ? ops.inline(offset, new Uint8Array(length).fill(random.below(200)))
        : ops.block(offset, length, random.below(12), at, BLOCK_BYTES),
    );
    offset += length + random.below(3) * random.below(20);
  }
  return { extents, pieces: extents.map((e) => ({ offset: e.offset, tags: tagsOf(e) })) };
}

function treeStep(random: Random, oracle: Oracle): Step {
  const parent = anyIno(random, oracle, 'dir');
  const name = pick(random, NAMES);
  switch (random.below(8)) {
    case 0:
    case 1:
      return { op: ops.mkdir(parent, name), believe: (o) => void o.make(parent, name, 'dir', 0o755) };
    case 2:
      return { op: ops.mkfile(parent, name), believe: (o) => void o.make(parent, name, 'file', 0o644) };
    case 3: {
      const op = ops.symlink(parent, name, 'target');
      return { op, believe: (o) => void o.make(parent, name, 'symlink', 0) };
    }
    case 4: {
      const ino = anyIno(random, oracle, 'file');
      return { op: ops.link(ino, parent, name), believe: (o) => o.link(ino, parent, name) };
    }
    case 5:
      return { op: ops.unlink(parent, name), believe: (o) => o.unlink(parent, name) };
    case 6:
      return { op: ops.rmdir(parent, name), believe: (o) => o.rmdir(parent, name) };
    default: {
      const newParent = anyIno(random, oracle, 'dir');
      const newName = pick(random, NAMES);
      const flags = pick(random, [0, 0, 0, 1, 2, 2, 3]);
      const op = ops.rename(parent, name, newParent, newName, flags);
      return { op, believe: (o) => o.rename(parent, name, newParent, newName, flags) };
    }
  }
}

function contentStep(random: Random, oracle: Oracle): Step {
  const ino = anyIno(random, oracle, 'file');
  const base = pick(random, BASES);
  switch (random.below(6)) {
    case 0:
    case 1: {
      const { extents, pieces } = randomExtents(random, base);
      return { op: ops.write(ino, extents), believe: (o) => o.write(ino, pieces) };
    }
    case 2: {
      const { extents, pieces } = randomExtents(random, 0);
      return { op: ops.append(ino, extents), believe: (o) => void o.append(ino, pieces) };
    }
    case 3: {
      const size = base + random.below(100);
      return { op: ops.truncate(ino, size), believe: (o) => o.truncate(ino, size) };
    }
    case 4: {
      const offset = base + random.below(100);
      const length = random.below(3) === 0 ? 2 ** 40 : 1 + random.below(50);
      return { op: ops.punch(ino, offset, length), believe: (o) => o.punch(ino, offset, length) };
    }
    default: {
      const { extents } = randomExtents(random, base);
      const bad = extents.map((e) => ({ ...e, length: e.length + BLOCK_BYTES }));
      return {
        op: ops.write(ino, bad),
        believe: (o) => {
          o.write(ino, []);
          o.setXattr(ino, 'never', '', 2);
        },
      };
    }
  }
}

function attributeStep(random: Random, oracle: Oracle): Step {
  const ino = anyIno(random, oracle);
  const name = pick(random, NAMES);
  const flags = random.below(3);
  switch (random.below(3)) {
    case 0: {
      const mode = random.below(0o10000);
      return { op: ops.setAttr(ino, { mode }), believe: (o) => o.chmod(ino, mode) };
    }
    case 1: {
      const op = ops.setXattr(ino, name, ops.bytes(`${flags}`), flags);
      return { op, believe: (o) => o.setXattr(ino, name, `${flags}`, flags) };
    }
    default:
      return { op: ops.removeXattr(ino, name), believe: (o) => o.removeXattr(ino, name) };
  }
}

function randomStep(random: Random, oracle: Oracle): Step {
  const kind = random.below(10);
  if (kind < 5) return treeStep(random, oracle);
  return kind < 9 ? contentStep(random, oracle) : attributeStep(random, oracle);
}

/** A machine beside an oracle, with every command kept. */
class Pair {
  readonly machine = new NamespaceMachine({ cacheBytesMax: 20_000 });
  readonly oracle = new Oracle();
  readonly log: Uint8Array[] = [];
  readonly answers: string[] = [];
  readonly session: number;
  sequence = 0;

  constructor() {
    const time = { sec: 1, nsec: 0 };
    const init = { clusterId: 'c', time, replicas: 3, formatVersion: 1 };
    this.apply({ body: { $case: 'initCluster', value: init } });
    const open = { nonce: new Uint8Array(16), client: '', time };
    this.session = this.apply({ body: { $case: 'openSession', value: open } }).value;
  }

  apply(command: Command) {
    const bytes = Command.encode(command).finish();
    this.log.push(bytes);
    const outcome = this.machine.applyBatch([bytes])[0]!;
    this.answers.push(answerOf(outcome));
    return outcome;
  }

  /** Both run the steps; they agree on whether, and why not. */
  commit(steps: readonly Step[]): void {
    const believed = this.oracle.attempt(() => {
      for (const step of steps) step.believe(this.oracle);
    });
    this.sequence++;
    const value = {
      session: this.session,
      sequence: this.sequence,
      ackedBelow: Math.max(1, this.sequence - 3),
      time: { sec: 1000 + this.sequence, nsec: this.sequence },
      preconditions: [],
      ops: steps.map((step) => step.op),
      assumedBlocks: [],
    };
    const { result } = this.apply({ body: { $case: 'commit', value } });
    const { body } = result;
    const told = body?.$case === 'rejected' ? errnoName(body.value.errno) : body?.$case;
    // The oracle's way to refuse a malformed extent.
    const expected = believed === 'ENODATA' && told === 'EINVAL' ? 'EINVAL' : believed;
    assert.equal(told, expected, JSON.stringify(value.ops.map((op) => op.body)));
  }

  reapOne(random: Random): void {
    const inos = [...this.oracle.orphans.keys()];
    if (inos.length === 0) return;
    const ino = pick(random, inos);
    while (this.apply({ body: { $case: 'reapOrphan', value: { ino, chunksMax: 1 } } }).value > 0);
    this.oracle.orphans.delete(ino);
  }

  check(): void {
    checkAgainstOracle(this.machine.store, this.oracle);
    checkDerivedRows(this.machine.store);
  }
}

const answerOf = (outcome: { result: CommitResult; value: number; duplicate: boolean }): string =>
  `${CommitResult.encode(outcome.result).finish().join()} ${outcome.value} ${outcome.duplicate}`;

function run(seed: number, commits: number): Pair {
  const random = seededRandom(seed);
  const pair = new Pair();
  for (let i = 0; i < commits; i++) {
    const steps = Array.from({ length: 1 + random.below(3) * random.below(2) }, () =>
      randomStep(random, pair.oracle),
    );
    pair.commit(steps);
    if (random.below(20) === 0) pair.reapOne(random);
    if (i % 25 === 0) pair.check();
  }
  pair.check();
  return pair;
}

function removeAll(pair: Pair, dir: OracleNode): void {
  for (const [name, child] of [...dir.entries]) {
    if (child.kind === 'dir') {
      removeAll(pair, child);
      pair.commit([{ op: ops.rmdir(dir.ino, name), believe: (o) => o.rmdir(dir.ino, name) }]);
    } else {
      pair.commit([{ op: ops.unlink(dir.ino, name), believe: (o) => o.unlink(dir.ino, name) }]);
    }
  }
}

for (const seed of [1, 2, 3, 4]) {
  test(`random commits agree with a tree of plain objects, seed ${seed}`, async () => {
    const pair = run(seed, 1200);
    assert.deepEqual((await namespaceFindings(pair.machine.store)).findings, []);
    removeAll(pair, pair.oracle.root);
    for (const name of [...pair.oracle.root.xattrs.keys()]) {
      pair.commit([{ op: ops.removeXattr(1, name), believe: (o) => o.removeXattr(1, name) }]);
    }
    pair.check();
    while (pair.oracle.orphans.size > 0) pair.reapOne(seededRandom(0));
    pair.check();
    checkOnlyRoot(pair.machine.store);
  });
}

test('replicas agree, however the log is cut into batches and whatever they have cached', async () => {
  const { log, machine, answers } = run(9, 600);
  const expected = await stateHash(machine.store);
  for (const [seed, cacheBytesMax, prefetch] of [
    [1, 0, false],
    [2, 0, true],
    [3, 10_000, false],
    [4, 10_000_000, true],
  ] as const) {
    const random = seededRandom(seed);
    const replica = new NamespaceMachine({ cacheBytesMax, prefetch });
    const told: string[] = [];
    for (let at = 0; at < log.length; ) {
      const count = 1 + random.below(seed * 10);
      told.push(...replica.applyBatch(log.slice(at, at + count)).map(answerOf));
      at += count;
    }
    assert.deepEqual(told, answers);
    assert.equal(await stateHash(replica.store), expected);
    assert.ok(replica.retries > 0);
  }
});
