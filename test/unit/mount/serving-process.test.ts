import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import {
  forgetServing,
  hasDied,
  isServerStuck,
  processState,
  recordServing,
} from '../../../mount/serving-process.ts';

const skip = process.platform !== 'linux';

describe('the process that serves a mount', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'ringfs-serving-'));
  after(() => rmSync(folder, { recursive: true }));

  it('is told apart from others by its start', () => {
    const own = processState(process.pid) ?? assert.fail();
    assert.ok(Number.isInteger(own.startTicks) && own.startTicks > (processState(1)?.startTicks ?? 0));
    assert.ok(!hasDied(own));
    assert.equal(processState(2 ** 22 + 1), undefined);
  });

  it('lives while it is there, and is not known before it is recorded', async () => {
    assert.equal(await isServerStuck('0:50', folder), false);
    await recordServing('0:50', folder);
    assert.equal(await isServerStuck('0:50', folder), false);
    await forgetServing('0:50', folder);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('is stuck once its first thread has ended and nobody has taken note', async () => {
    // A zombie: its parent has become a program that waits for nobody.
    const parent = spawn('sh', ['-c', 'sleep 1000 & echo $!; exec sleep 1001'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const until = async (holds: () => boolean): Promise<void> => {
      while (!holds()) await new Promise((resolve) => setImmediate(resolve));
    };
    try {
      const pid = Number(await new Promise((resolve) => parent.stdout.once('data', resolve)));
      await until(() => readFileSync(`/proc/${parent.pid}/cmdline`, 'latin1') === 'sleep\x001001\x00');
      const { startTicks } = processState(pid) ?? assert.fail('it lives');
      writeFileSync(join(folder, '0-51'), `${pid} ${startTicks}\n`);
      assert.equal(await isServerStuck('0:51', folder), false);
      process.kill(pid, 'SIGKILL');
      await until(() => hasDied(processState(pid) ?? assert.fail('nobody takes note')));
      assert.equal(await isServerStuck('0:51', folder), true);
      writeFileSync(join(folder, '0-51'), `${pid} ${startTicks + 1}\n`);
      assert.equal(await isServerStuck('0:51', folder), false, 'another process with the same number');
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('leaves the record of another process alone', async () => {
    writeFileSync(join(folder, '0-52'), '1 1\n');
    await forgetServing('0:52', folder);
    assert.ok(readdirSync(folder).includes('0-52'));
    for (const broken of ['', 'x', '1', '-1 5\n']) {
      writeFileSync(join(folder, '0-53'), broken);
      assert.equal(await isServerStuck('0:53', folder), false, broken);
    }
  });
});
