import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SESSION_WINDOW_MAX } from '../../../../src/base/limits.ts';
import { answerKey, nonceKey, sessionKey, TABLE, tableRange } from '../../../../src/core/namespace/keys.ts';
import { listSessions } from '../../../../src/core/namespace/read.ts';
import type { ApplyOutcome } from '../../../../src/core/namespace/types.ts';
import type { Commit, Op } from '../../../../src/gen/ringfs/v1/namespace.ts';
import { NamespaceFixture } from '../../../support/namespace-fixture.ts';
import { block, blockId, mkdir, mkfile, unlink, write } from '../../../support/namespace-ops.ts';

const answers = (fs: NamespaceFixture): number => fs.machine.store.scanSync(tableRange(TABLE.answer)).length;

function commit(fs: NamespaceFixture, sequence: number, ackedBelow: number, ...ops: Op[]): ApplyOutcome {
  return fs.commit(ops, { sequence, ackedBelow });
}

const caseOf = (outcome: ApplyOutcome): string | undefined => outcome.result.body?.$case;

function open(fs: NamespaceFixture, nonce: Uint8Array): ApplyOutcome {
  const value = { nonce, client: 'host:1:/mnt', time: { sec: 5, nsec: 0 } };
  return fs.machine.apply({ body: { $case: 'openSession', value } });
}

test('a session is named by its log index; its nonce finds it again', async () => {
  const fs = new NamespaceFixture();
  const nonce = new Uint8Array(16).fill(7);
  const first = open(fs, nonce);
  assert.equal(first.value, fs.machine.index);
  const again = open(fs, nonce);
  assert.deepEqual([again.value, again.duplicate], [first.value, true]);
  assert.notEqual(open(fs, new Uint8Array(16).fill(8)).value, first.value);
  assert.equal(caseOf(open(fs, new Uint8Array(15))), 'rejected');
  const sessions = await listSessions(fs.machine.store);
  assert.deepEqual(
    sessions.map((row) => [row.session, row.client]),
    [
      [fs.session, 'test'],
      [first.value, 'host:1:/mnt'],
      [first.value + 2, 'host:1:/mnt'],
    ],
  );
});

test('a commit that arrives again gets its first answer and changes nothing', () => {
  const fs = new NamespaceFixture();
  const first = commit(fs, 1, 1, mkfile(1, 'f'));
  commit(fs, 2, 1, unlink(1, 'f'));
  const before = fs.rowsOfTree();
  const again = commit(fs, 1, 1, mkfile(1, 'f'));
  assert.deepEqual(again.result, first.result);
  assert.deepEqual([first.duplicate, again.duplicate, again.session], [false, true, fs.session]);
  assert.deepEqual(fs.rowsOfTree(), before);
});

test('a refusal is an answer too: the retry does not succeed later', () => {
  const fs = new NamespaceFixture();
  const refused = commit(fs, 1, 1, unlink(1, 'f'));
  commit(fs, 2, 1, mkfile(1, 'f'));
  assert.deepEqual(commit(fs, 1, 1, unlink(1, 'f')).result, refused.result);
  assert.ok(fs.entry(1, 'f'));
});

test('commits may be applied in another order than numbered', () => {
  const fs = new NamespaceFixture();
  assert.equal(caseOf(commit(fs, 3, 1, mkfile(1, 'c'))), 'ok');
  assert.equal(caseOf(commit(fs, 1, 1, mkfile(1, 'a'))), 'ok');
  assert.equal(caseOf(commit(fs, 2, 1, mkfile(1, 'b'))), 'ok');
  assert.equal(fs.attr(1).size, 3);
});

test('answers are kept until the client has them', () => {
  const fs = new NamespaceFixture();
  for (let i = 1; i <= 10; i++) commit(fs, i, 1, mkfile(1, `${i}`));
  assert.equal(answers(fs), 10);
  commit(fs, 11, 8, mkfile(1, 'x'));
  assert.equal(answers(fs), 4);
  const late = commit(fs, 3, 1, mkfile(1, 'again'));
  assert.equal(caseOf(late), 'rejected');
  assert.equal(fs.entry(1, 'again'), undefined);
  assert.equal(answers(fs), 4);
});

test('a client keeps within the window, and a leap of acked_below costs nothing', () => {
  const fs = new NamespaceFixture();
  assert.equal(caseOf(commit(fs, SESSION_WINDOW_MAX, 1, mkfile(1, 'a'))), 'ok');
  assert.equal(caseOf(commit(fs, SESSION_WINDOW_MAX + 1, 1, mkfile(1, 'b'))), 'rejected');
  assert.equal(caseOf(commit(fs, 0, 0, mkfile(1, 'b'))), 'rejected');
  const far = Number.MAX_SAFE_INTEGER - 1000;
  assert.equal(caseOf(commit(fs, far, far, mkfile(1, 'c'))), 'ok');
  assert.equal(answers(fs), 1);
  assert.equal(caseOf(commit(fs, far - 1, 1, mkfile(1, 'd'))), 'rejected');
});

test('an unknown or expired session applies nothing, and leaves nothing behind', () => {
  const fs = new NamespaceFixture();
  const nonce = new Uint8Array(16).fill(7);
  const session = open(fs, nonce).value;
  fs.commit([mkfile(1, 'f')], { session, sequence: 1, ackedBelow: 1 });
  const value = { sessions: [session, 12345, session] };
  assert.equal(caseOf(fs.machine.apply({ body: { $case: 'expireSessions', value } })), 'ok');
  for (const key of [sessionKey(session), answerKey(session, 1), nonceKey(nonce)]) {
    assert.equal(fs.machine.store.getSync(key), undefined);
  }
  const outcome = fs.commit([mkfile(1, 'g')], { session, sequence: 2, ackedBelow: 1 });
  assert.equal(caseOf(outcome), 'sessionUnknown');
  assert.equal(fs.entry(1, 'g'), undefined);
  assert.ok(open(fs, nonce).value > session);
});

test('a commit is applied as a whole or not at all', () => {
  const fs = new NamespaceFixture();
  const before = fs.rowsOfTree();
  const outcome = fs.commit([mkfile(1, 'a'), mkdir(1, 'b'), mkfile(1, 'a')]);
  const { body } = outcome.result;
  assert.equal(body?.$case === 'rejected' && body.value.opIndex, 2);
  assert.deepEqual(fs.rowsOfTree(), before);
});

test('preconditions are all looked at, and tell what is there', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  fs.ok(write(f, [block(0, 10, 'a')]));
  const version = fs.machine.index;
  const name = new TextEncoder().encode('f');
  const holds: Commit['preconditions'] = [
    { body: { $case: 'inode', value: { ino: f, version } } },
    { body: { $case: 'chunk', value: { ino: f, index: 0, version } } },
    { body: { $case: 'chunk', value: { ino: f, index: 1, version: 0 } } },
    { body: { $case: 'dentry', value: { parent: 1, name, ino: f } } },
    { body: { $case: 'dentry', value: { parent: 1, name: Uint8Array.of(65), ino: 0 } } },
  ];
  assert.equal(caseOf(fs.commit([], { preconditions: holds })), 'ok');
  const fails: Commit['preconditions'] = [
    { body: { $case: 'inode', value: { ino: 99, version: 3 } } },
    { body: { $case: 'chunk', value: { ino: f, index: 0, version: 0 } } },
    { body: { $case: 'dentry', value: { parent: 1, name, ino: 0 } } },
  ];
  const { body } = fs.commit([mkfile(1, 'x')], { preconditions: [...holds, ...fails] }).result;
  assert.ok(body?.$case === 'rejected');
  assert.equal(body.value.errno, 0);
  assert.deepEqual(body.value.current, [
    { body: { $case: 'inode', value: { ino: 99, version: 0 } } },
    { body: { $case: 'chunk', value: { ino: f, index: 0, version } } },
    { body: { $case: 'dentry', value: { parent: 1, name, ino: f } } },
  ]);
  assert.equal(fs.entry(1, 'x'), undefined);
  assert.equal(caseOf(fs.commit([], { preconditions: [{ body: undefined }] })), 'rejected');
});

test('blocks that nothing refers to are missing, condemned ones too', () => {
  const fs = new NamespaceFixture();
  const f = fs.ino(mkfile(1, 'f'));
  const assumedBlocks = [blockId('a'), blockId('b')];
  fs.ok(write(f, [block(0, 10, 'a')]));
  const { body } = fs.commit([mkfile(1, 'x')], { assumedBlocks }).result;
  assert.deepEqual(body, { $case: 'missingBlocks', value: { blockIds: [blockId('b')] } });
  assert.equal(fs.entry(1, 'x'), undefined);
  fs.ok(write(f, [block(0, 10, 'b')]));
  const condemned = fs.machine.store.scanSync(tableRange(TABLE.condemned));
  assert.equal(condemned.length, 1);
  const again = fs.commit([], { assumedBlocks }).result.body;
  assert.deepEqual(again, { $case: 'missingBlocks', value: { blockIds: [blockId('a')] } });
  fs.ok(write(f, [block(20, 10, 'a')]));
  assert.equal(fs.machine.store.scanSync(tableRange(TABLE.condemned)).length, 0);
  assert.equal(caseOf(fs.commit([], { assumedBlocks })), 'ok');
  assert.equal(caseOf(fs.commit([], { assumedBlocks: [new Uint8Array(5)] })), 'rejected');
});
