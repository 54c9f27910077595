import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { seededRandom } from '../../src/base/random.ts';
import { BlockChurn, type Disturbance } from '../support/block-churn.ts';
import { ServerProcesses } from '../support/server-processes.ts';
import { freePorts, until } from '../support/test-cluster.ts';
import { VerifiedLoad } from '../support/verified-load.ts';

const SERVERS = 6;
const STEPS: readonly Disturbance[] = ['kill', 'add', 'drain', 'restart'];

/** The whole of it, for ten minutes: node dist/test/bench/churn.js */
describe('a ring of processes that are killed, restarted, added and drained under load', () => {
  let servers: ServerProcesses;
  let load: VerifiedLoad | undefined;

  before(async () => {
    // Of those that are added too.
    const basePort = await freePorts(SERVERS + STEPS.length);
    servers = new ServerProcesses({ directory: tmpdir(), basePort });
    for (let i = 0; i < SERVERS; i++) servers.start(servers.make());
    await servers.allAlive(servers.ids);
  });
  after(async () => {
    await load?.close();
    await servers.close();
  });

  it('fails no read and no write, and has every block on R nodes in the end', async (t) => {
    load = await VerifiedLoad.connect({
      addresses: servers.metaAddresses,
      random: seededRandom(1),
      writers: 1,
      readers: 1,
      fileBytesMax: 100_000,
      filesMax: 60,
      thinkMs: 20,
      timeoutMs: 120_000,
    });
    load.start();
    const churn = new BlockChurn(
      { servers, random: seededRandom(1) },
      { servers: SERVERS, downMax: 1, downMs: 2_000, say: (what) => t.diagnostic(what) },
    );
    for (const step of STEPS) {
      await churn.carryOut(step);
      const { writes, reads } = load.counts;
      await until(
        'the load goes on',
        () => load!.counts.writes > writes + 5 && load!.counts.reads > reads + 5,
      );
    }
    await load.stop();
    await until('every block is on R nodes', async () => {
      const { status } = await servers.ringfs('fsck', '--fast');
      return status === 0;
    });
    await load.readEverything();
    assert.deepEqual(load.failures, []);
    const { kills, restarts, adds, drains, removals } = churn.counts;
    assert.deepEqual([kills, restarts, adds, drains, removals], [1, 1, 1, 1, 1]);
    t.diagnostic(JSON.stringify(load.counts));
  });
});
