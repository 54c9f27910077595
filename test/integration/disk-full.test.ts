import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { freePorts, ringfs, sha256 } from '../support/test-cluster.ts';

describe('a full disk', () => {
  let root = '';
  let data = '';
  let mnt = '';
  let port = 0;
  before(async () => {
    root = mkdtempSync(path.join(tmpdir(), 'ringfs-full-'));
    data = path.join(root, 'data');
    mnt = path.join(root, 'mnt');
    mkdirSync(data);
    mkdirSync(mnt);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=400m', 'tmpfs', data]);
    port = await freePorts(3);
    const up = ringfs('up', '--data', data, '--mount', mnt, '--base-port', String(port), '--detach');
    assert.equal(up.status, 0, up.stderr);
  });
  after(() => {
    ringfs('down', '--data', data);
    if (existsSync(data)) execFileSync('umount', ['-l', data]);
    rmSync(root, { recursive: true, force: true });
  });

  it('is ENOSPC to the application, loses nothing, and heals when there is space', () => {
    const kept = new Map<string, string>();
    const write = (i: number): void => {
      const content = randomBytes(4 << 20);
      const file = path.join(mnt, `f${i}`);
      const fd = openSync(file, 'w');
      try {
        writeSync(fd, content);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      kept.set(file, createHash('sha256').update(content).digest('hex'));
    };
    const fill = (): void => {
      for (let i = 0; i < 200; i++) write(i);
    };
    assert.throws(fill, { code: 'ENOSPC' });
    assert.ok(kept.size > 5, `${kept.size} files fit`);
    for (const [file, hash] of kept) assert.equal(sha256(file), hash);
    unlinkSync(path.join(mnt, `f${kept.size}`)); // metadata still works on a full disk: the file that did not fit goes
    writeFileSync(path.join(mnt, 'small'), 'fits into the metadata');

    execFileSync('mount', ['-o', 'remount,size=800m', data]);
    write(1000);
    for (const [file, hash] of kept) assert.equal(sha256(file), hash);
  });
});
