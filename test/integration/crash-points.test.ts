import { after, before, describe, it } from 'node:test';
import { type CrashCase, CrashCluster, crashAt } from '../support/crash-matrix.ts';

const SHORT: readonly CrashCase[] = [
  { point: 'before-persist', role: 'leader' },
  { point: 'after-apply', role: 'follower' },
  { point: 'membership-change', role: 'leader', needs: 'membership change' },
];
const MORE: readonly CrashCase[] = [
  { point: 'before-persist', role: 'follower' },
  { point: 'after-persist', role: 'leader' },
  { point: 'after-persist', role: 'follower' },
  { point: 'before-send', role: 'leader' },
  { point: 'before-send', role: 'follower' },
  { point: 'before-apply', role: 'leader' },
  { point: 'before-apply', role: 'follower' },
  { point: 'after-apply', role: 'leader' },
  { point: 'membership-change', role: 'follower', needs: 'membership change' },
  { point: 'compaction', role: 'leader', needs: 'long log' },
  { point: 'compaction', role: 'follower', needs: 'long log' },
  { point: 'compacted', role: 'leader', needs: 'long log' },
  { point: 'compacted', role: 'follower', needs: 'long log' },
  { point: 'snapshot-save', role: 'leader', needs: 'lagging follower' },
  { point: 'snapshot-install', role: 'follower', needs: 'lagging follower' },
  { point: 'snapshot-switched', role: 'follower', needs: 'lagging follower' },
];

/** CRASH_CASES=all runs the whole matrix, CRASH_CASES=compaction what has that in its name. */
const chosen = process.env['CRASH_CASES'];
const cases =
  chosen === undefined
    ? SHORT
    : [...SHORT, ...MORE].filter(({ point }) => chosen === 'all' || point.includes(chosen));

describe('kill -9 of a server at a named moment', () => {
  let cluster: CrashCluster;
  before(async () => {
    cluster = await CrashCluster.start();
  });
  after(() => cluster.remove());

  for (const each of cases) {
    it(`loses nothing that was fsynced: ${each.role}, ${each.point}`, () => crashAt(cluster, each));
  }

  it('leaves nothing wrong in what the servers have', () => cluster.checkData());
});
