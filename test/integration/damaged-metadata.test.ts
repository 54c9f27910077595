import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { flipInTables } from '../support/flip-in-tables.ts';
import { ringfs, TestCluster } from '../support/test-cluster.ts';

const LINKS = 40;
const TARGET_BYTES = 2_000;

describe('metadata that have changed on the disk of one server', () => {
  let cluster: TestCluster;
  const targets = Array.from({ length: LINKS }, () => randomBytes(TARGET_BYTES / 2).toString('hex'));
  const rowsOf = (server: string): string => {
    const meta = path.join(cluster.data, server, 'meta');
    return path.join(meta, readFileSync(path.join(meta, 'CURRENT'), 'utf8').trim());
  };
  const check = () => ringfs('meta', 'check', '--data', path.join(cluster.data, 's1'));

  before(async () => {
    cluster = await TestCluster.start();
    for (const [i, target] of targets.entries()) {
      symlinkSync(target, cluster.path(`l${String(i).padStart(2, '0')}`));
    }
  });
  after(() => cluster.remove());

  it('are found by a check of the stopped server', async () => {
    await cluster.stop();
    // Opening it makes tables of what is in RocksDB's own log.
    const before = check();
    assert.equal(before.status, 0, before.stdout + before.stderr);
    let flipped = 0;
    for (const target of targets) {
      flipped += await flipInTables(rowsOf('s1'), new TextEncoder().encode(target.slice(900, 916)));
    }
    assert.ok(flipped > 0, 'something of the targets is in the tables as it is');
    const found = check();
    assert.equal(found.status, 1);
    assert.match(found.stdout + found.stderr, /not what was written|corrupt/);
  });
});
