import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { tail } from '../../../src/cli/ringfs-child.ts';
import { type ChildSpec, SupervisedChild } from '../../../src/cli/supervisor.ts';
import { cliError } from '../../support/cli-errors.ts';
import { Events } from '../../support/events.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

/** The child does what its first argument says; SIGUSR2 makes it end. */
const CHILD = `
const [what, value] = process.argv.slice(2);
const stay = () => setInterval(() => {}, 1000);
process.on('SIGUSR2', () => process.exit(3));
if (what === 'ready') { process.send({ ready: { value } }); stay(); }
if (what === 'stubborn') { process.on('SIGTERM', () => {}); process.send({ ready: {} }); stay(); }
if (what === 'error') process.send({ error: 'the port is in use', hint: 'use another' }, () => process.exit(1));
if (what === 'crash') { for (let i = 0; i < 20; i++) console.error('line ' + i); process.exit(7); }
if (what === 'silent') { console.log('started'); stay(); }
`;

describe('a supervised child', () => {
  let dir = '';
  let timers = new VirtualTimers();
  let logger = new RecordingLogger();
  let changes = new Events();
  const children: SupervisedChild[] = [];

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'ringfs-child-'));
    writeFileSync(path.join(dir, 'child.mjs'), CHILD);
    timers = new VirtualTimers();
    logger = new RecordingLogger();
    changes = new Events();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) await child.stop('SIGKILL', 1000);
    rmSync(dir, { recursive: true });
  });

  function supervise(args: readonly string[], more: Partial<ChildSpec> = {}): SupervisedChild {
    const child = new SupervisedChild(
      { logger, timers, entry: path.join(dir, 'child.mjs') },
      { name: 'server s1', args, logFile: path.join(dir, 'logs', 's1.log'), readyTimeoutMs: 5000, ...more },
      changes.add,
    );
    children.push(child);
    return child;
  }

  it('starts with what it says of itself, and ends when told to', async () => {
    const child = supervise(['ready', '42']);
    assert.equal(child.pid, 0);
    assert.deepEqual(await child.start(), { value: '42' });
    const { pid } = child;
    assert.doesNotThrow(() => process.kill(pid, 0));
    await child.stop('SIGTERM', 60_000);
    assert.throws(() => process.kill(pid, 0));
    assert.equal(child.pid, 0);
    assert.equal(timers.waiting, 0);
    await child.stop('SIGTERM', 1000);
    await assert.rejects(child.start(), cliError(/stopped/));
  });

  it('passes on why it could not start', async () => {
    await assert.rejects(
      supervise(['error']).start(),
      cliError(/^server s1: the port is in use\nuse another$/),
    );
  });

  it('shows the end of its log when it dies before it is ready', async () => {
    await assert.rejects(
      supervise(['crash']).start(),
      cliError(
        /^server s1: ended with status 7 before it was ready:\nline 12\n[\s\S]*line 19\nits log is .*s1\.log$/,
      ),
    );
    assert.equal(timers.waiting, 0, 'it is not started again');
  });

  it('fails when it is not ready in time', async () => {
    const child = supervise(['silent']);
    const rejected = assert.rejects(child.start(), cliError(/not ready within 5 s/));
    await timers.advance(5000);
    await rejected;
  });

  it('is started again when it ends, once it was ready', async () => {
    const restarts = new Events();
    const child = supervise(['ready', '1'], {
      beforeRestart: () => {
        restarts.add();
        return Promise.resolve();
      },
    });
    await child.start();
    const first = child.pid;
    process.kill(first, 'SIGUSR2');
    await changes.atLeast(1);
    assert.equal(child.pid, 0);
    assert.deepEqual(
      logger.lines.map(({ level, fields }) => [level, (fields as { code: number }).code]),
      [['warn', 3]],
    );
    await timers.advance(2999);
    assert.equal(restarts.seen.length, 0);
    await timers.advance(1);
    await changes.atLeast(3); // started, ready
    assert.equal(restarts.seen.length, 1);
    assert.notEqual(child.pid, first);
    process.kill(child.pid, 0);
  });

  it('is started again for as long as it does not succeed, but not after it was stopped', async () => {
    let fail = true;
    const tries = new Events();
    const child = supervise(['ready'], {
      beforeRestart: () => {
        tries.add();
        return fail ? Promise.reject(new Error('the mount is stuck')) : Promise.resolve();
      },
    });
    await child.start();
    process.kill(child.pid, 'SIGUSR2');
    await changes.atLeast(1);
    await timers.advance(3000);
    await timers.advance(3000);
    assert.equal(tries.seen.length, 2);
    fail = false;
    await timers.advance(3000);
    await changes.atLeast(3);
    process.kill(child.pid, 'SIGUSR2');
    await changes.atLeast(4);
    await child.stop('SIGTERM', 1000);
    await timers.advance(60_000);
    assert.equal(tries.seen.length, 3);
    assert.equal(child.pid, 0);
  });

  it('is killed when it does not stop in time', async () => {
    const child = supervise(['stubborn']);
    await child.start();
    const { pid } = child;
    const stopping = child.stop('SIGTERM', 2000);
    await timers.advance(2000);
    await stopping;
    assert.throws(() => process.kill(pid, 0));
    assert.match(logger.lines[0]?.message ?? '', /did not stop in time/);
  });

  it('may be stopped while it starts', async () => {
    const child = supervise(['silent']);
    const rejected = assert.rejects(child.start(), cliError(/ended with SIGTERM/));
    await child.stop('SIGTERM', 60_000);
    await rejected;
  });

  it('is let go of when it was killed and cannot end, which is seen twice', async () => {
    const released = new Events();
    let state = 'S';
    const child = new SupervisedChild(
      { logger, timers, entry: path.join(dir, 'child.mjs'), stateOf: () => ({ state, startTicks: 1 }) },
      {
        ...{
          name: 'mount',
          args: ['ready', ''],
          logFile: path.join(dir, 'logs', 'm.log'),
          readyTimeoutMs: 5000,
        },
        release: async () => released.add(),
      },
      changes.add,
    );
    children.push(child);
    await child.start();
    await timers.advance(10_000);
    assert.equal(released.seen.length, 0);
    state = 'Z';
    await timers.advance(2_000);
    assert.equal(released.seen.length, 0, 'it may just have ended');
    await timers.advance(2_000);
    assert.equal(released.seen.length, 1);
    assert.ok(logger.has('a process was killed and cannot end; its mount is ended'));
    await child.stop('SIGTERM', 60_000);
    await timers.advance(10_000);
    assert.equal(released.seen.length, 1, 'nobody is watched any more');
  });
});

describe('the end of a log', () => {
  it('is its last lines, read without the rest', () => {
    const dir = mkdtempSync(path.join(tmpdir(), 'ringfs-tail-'));
    const file = path.join(dir, 'log');
    try {
      assert.equal(tail(file), '');
      writeFileSync(file, '');
      assert.equal(tail(file), '');
      writeFileSync(file, 'a\nb\n');
      assert.equal(tail(file), 'a\nb');
      writeFileSync(file, `${'x'.repeat(1_000_000)}\n1\n2\n3\n4\n5\n6\n7\n8\n`);
      assert.equal(tail(file), '1\n2\n3\n4\n5\n6\n7\n8');
      writeFileSync(file, 'x'.repeat(1_000_000));
      assert.equal(tail(file).length, 16 * 1024);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});
