import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ringfs, sha256, TestCluster, until } from '../support/test-cluster.ts';

/** Flips one bit in every 64 KiB of a file, past its first 4 KiB. */
function damage(file: string): void {
  const fd = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  for (let at = 4096 + 1000; at < fstatSync(fd).size; at += 65_536) {
    readSync(fd, byte, 0, 1, at);
    writeSync(fd, Buffer.from([(byte[0] ?? 0) ^ 0x10]), 0, 1, at);
  }
  closeSync(fd);
}

describe('a corrupted block on one replica', () => {
  let cluster: TestCluster;
  let fresh = '';
  before(async () => {
    cluster = await TestCluster.start();
  });
  after(async () => {
    if (fresh !== '') ringfs('umount', '--lazy', fresh);
    await cluster.remove();
    if (fresh !== '') rmSync(fresh, { recursive: true, force: true });
  });

  it('is read from another, repaired, counted and logged', async () => {
    const names = Array.from({ length: 12 }, (_, i) => `f${i}`);
    for (const name of names) writeFileSync(cluster.path(name), randomBytes(1_500_000));
    const hashes = names.map((name) => sha256(cluster.path(name)));
    await until(
      'every server has every block',
      () => new Set(cluster.status().servers.map((server) => server.ring?.blocks)).size === 1,
    );

    const dir = path.join(cluster.data, 's1', 'block');
    const segments = readdirSync(dir, { recursive: true, encoding: 'utf8' }).filter((name) =>
      /seg-.*\.dat$/.test(name),
    );
    assert.ok(segments.length > 0);
    for (const segment of segments) damage(path.join(dir, segment));

    fresh = mkdtempSync(path.join(tmpdir(), 'ringfs-fresh-')); // a mount whose block cache is empty
    const log = path.join(cluster.data, 'logs', 'fresh.log');
    assert.equal(
      ringfs('mount', cluster.addresses.join(','), fresh, '-o', `log=${log},log_format=json`).status,
      0,
    );
    for (const [i, name] of names.entries()) assert.equal(sha256(path.join(fresh, name)), hashes[i], name);

    const s1 = await until('the damage is counted and repaired', () =>
      cluster.status().servers.find((server) => server.id === 's1' && (server.ring?.repaired ?? 0) > 0),
    );
    assert.ok((s1.ring?.corruptFound ?? 0) > 0);
    const logged = [log, path.join(cluster.data, 'logs', 's1.log')]
      .map((file) => readFileSync(file, 'utf8'))
      .join('\n');
    assert.match(logged, /corrupt|does not match/i);
  });
});
