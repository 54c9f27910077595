import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import {
  isPortFree,
  isRingfsCommand,
  isRingfsProcess,
  signalAll,
  waitForExit,
} from '../../../src/cli/processes.ts';

const line = (...args: string[]): string => args.map((arg) => `${arg}\0`).join('');

describe('the command line of a ringfs process', () => {
  it('is node with our entry point', () => {
    for (const args of [
      ['node', '/opt/ringfs/dist/src/cli/main.js', 'up'],
      ['/usr/bin/node', '--max-old-space-size=512', '/home/u/ring fs/dist/src/cli/main.js', 'server'],
      [process.execPath, 'dist/src/cli/main.js'],
    ])
      assert.ok(isRingfsCommand(line(...args)), args.join(' '));
  });

  it('is not that of a program that has ringfs in its arguments', () => {
    for (const args of [
      ['vim', 'ringfs.txt'],
      ['vim', '/opt/ringfs/dist/src/cli/main.js'],
      ['node', '/home/ringfs/server.js'],
      ['node', '/opt/other/cli/main.js'],
      ['node', 'test.js', '/opt/ringfs/dist/src/cli/main.js'],
      ['tail', '-f', '/data/ringfs/logs/s1.log'],
      ['node'],
      [''],
    ])
      assert.ok(!isRingfsCommand(line(...args)), args.join(' '));
    assert.ok(!isRingfsCommand('')); // a kernel thread
  });
});

describe('processes', () => {
  it('that are none of ours or do not exist are not running', async () => {
    assert.equal(isRingfsProcess(0), false);
    assert.equal(isRingfsProcess(-1), false);
    assert.equal(isRingfsProcess(2 ** 22 + 1), false);
    if (process.platform === 'linux') assert.equal(isRingfsProcess(process.pid), false);
    assert.deepEqual(await waitForExit([0, 2 ** 22 + 1], 60_000), []);
  });

  it('that have ended already can be signalled', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await new Promise((resolve) => child.once('exit', resolve));
    signalAll([child.pid ?? assert.fail()], 'SIGTERM');
  });

  it('hold their ports', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    assert.equal(await isPortFree('127.0.0.1', port), false);
    await new Promise((resolve) => server.close(resolve));
    assert.equal(await isPortFree('127.0.0.1', port), true);
  });
});
