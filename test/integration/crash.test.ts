import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { sh, sha256, TestCluster, until } from '../support/test-cluster.ts';

/** Writes files and prints "NAME SHA256" after fsync or after close has returned. */
const WRITER = `
  const fs = require('node:fs'), crypto = require('node:crypto');
  const dir = process.argv[1];
  for (let i = 0; ; i++) {
    const data = crypto.randomBytes(i % 7 === 0 ? 3_000_000 + i : 1 + (i * 977) % 60_000);
    const fd = fs.openSync(dir + '/f' + i, 'w');
    fs.writeSync(fd, data);
    const line = 'f' + i + ' ' + crypto.createHash('sha256').update(data).digest('hex') + '\\n';
    if (i % 2 === 0) { fs.fsyncSync(fd); process.stdout.write(line); fs.writeSync(fd, Buffer.alloc(0)); fs.closeSync(fd); }
    else { fs.closeSync(fd); process.stdout.write(line); }
  }`;

describe('kill -9 of every process at once in the middle of a copy', () => {
  let cluster: TestCluster;
  let writer: ChildProcess | undefined;
  before(async () => {
    cluster = await TestCluster.start();
  });
  after(async () => {
    writer?.kill('SIGKILL');
    await cluster.remove();
  });

  for (const round of [1, 2]) {
    it(`loses nothing that was fsynced or closed, round ${round}`, async () => {
      const dir = cluster.path(`round${round}`);
      mkdirSync(dir);
      const acknowledged = new Map<string, string>();
      let rest = '';
      writer = spawn(process.execPath, ['-e', WRITER, dir], { stdio: ['ignore', 'pipe', 'ignore'] });
      writer.stdout?.setEncoding('utf8').on('data', (text: string) => {
        rest += text;
        const lines = rest.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) {
          const [name, hash] = line.split(' ');
          acknowledged.set(name ?? '', hash ?? '');
        }
      });
      await until('enough is written', () => acknowledged.size >= 60);
      await cluster.killEverything();
      writer.kill('SIGKILL');
      await cluster.up();
      assert.ok(acknowledged.size >= 60);
      for (const [name, hash] of acknowledged) assert.equal(sha256(path.join(dir, name)), hash, name);
      // The tree is consistent: everything that is listed can be read, and what was there is still there.
      sh(`find ${cluster.mount} -type f -exec cat {} + >/dev/null`);
      sh(`rm -r ${dir}`);
      writeFileSync(cluster.path('after'), `round ${round}`);
      assert.equal(readFileSync(cluster.path('after'), 'utf8'), `round ${round}`);
    });
  }
});
