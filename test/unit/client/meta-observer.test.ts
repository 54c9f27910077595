import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../src/base/random.ts';
import { MetaObserver } from '../../../src/client/meta-observer.ts';
import type { MetaReply, MetaRequest } from '../../../src/gen/ringfs/v1/meta.ts';
import type { BodyOf, RpcAcceptor } from '../../../src/ports/rpc.ts';
import { MemoryNetwork } from '../../support/memory-rpc.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

type Reply = NonNullable<BodyOf<MetaReply>>;
type Request = NonNullable<BodyOf<MetaRequest>>;

const ADDRESSES = ['m1:1', 'm2:1', 'm3:1'];
const NODE = { id: 'b1', address: 'b1:1', virtualNodes: 32, capacityBytes: 10, usedBytes: 1 };
const REPORTED: Reply = { $case: 'blockNodeReport', value: { nodes: [], clusterId: 'c', replicas: 3 } };
const WELCOME: Reply = {
  $case: 'hello',
  value: {
    session: 0,
    clusterId: 'c',
    time: undefined,
    sessionTtlMs: 0,
    leaseTtlMs: 0,
    replicas: 3,
  },
};
const notLeader = (leaderAddress: string): Reply => ({
  $case: 'notLeader',
  value: { leaderId: leaderAddress, leaderAddress },
});
const refusal = (message: string): Reply => ({ $case: 'error', value: { errno: 5, message } });

function fixture() {
  const timers = new VirtualTimers();
  const network = new MemoryNetwork<MetaRequest, MetaReply>({ timers });
  const asked: string[] = [];
  let open = 0;
  /** `answer` is for what comes after the hello, unless it answers that too. */
  const listen = (
    address: string,
    answer: (body: Request) => Reply | undefined,
    hello: Reply | 'silence' = WELCOME,
  ): void => {
    const acceptor: RpcAcceptor<MetaRequest, MetaReply> = () => {
      open++;
      return {
        onRequest: (body) => {
          asked.push(`${address} ${body.$case}`);
          return Promise.resolve(
            body.$case !== 'hello' ? answer(body) : hello === 'silence' ? undefined : hello,
          );
        },
        onClose: () => open--,
      };
    };
    network.listen(address, acceptor);
  };
  const observer = new MetaObserver(
    { connector: network.connector('b1:1'), timers, random: seededRandom(1), logger: new RecordingLogger() },
    { addresses: ADDRESSES, name: 'block node b1', clusterId: 'c' },
  );
  const settled = <T>(promise: Promise<T>): Promise<T> => timers.resolve(promise);
  return { timers, network, observer, asked, listen, settled, open: () => open };
}

describe('MetaObserver', () => {
  it('finds the leader by what the others say of it, and stays there', async () => {
    const { observer, asked, listen, settled, open } = fixture();
    listen('m1:1', () => notLeader('m3:1'));
    listen('m3:1', () => REPORTED);
    assert.deepEqual(await settled(observer.report(NODE)), REPORTED.value);
    await settled(observer.report(NODE));
    assert.deepEqual(asked, [
      'm1:1 hello',
      'm1:1 blockNodeReport',
      'm3:1 hello',
      'm3:1 blockNodeReport',
      'm3:1 blockNodeReport',
    ]);
    assert.equal(open(), 1);
  });

  it('tries the next when one is down, has no leader to name, or refuses', async () => {
    const { observer, listen, settled, open } = fixture();
    listen('m2:1', () => notLeader(''));
    listen('m3:1', () => REPORTED, refusal('wrong cluster'));
    await assert.rejects(settled(observer.report(NODE)), /refused|no leader|wrong cluster/);
    listen('m1:1', () => REPORTED);
    assert.deepEqual(await settled(observer.report(NODE)), REPORTED.value);
    assert.equal(open(), 1);
  });

  it('follows a new leader when the old one is gone', async () => {
    const { network, observer, listen, settled } = fixture();
    listen('m1:1', () => REPORTED);
    await settled(observer.report(NODE));
    network.kill('m1:1');
    listen('m2:1', () => REPORTED);
    assert.deepEqual(await settled(observer.report(NODE)), REPORTED.value);
  });

  it('gives up on servers that name each other, or say nothing at all, and leaves nothing open', async () => {
    const { observer, listen, settled, asked, open } = fixture();
    listen('m1:1', () => notLeader('m2:1'));
    listen('m2:1', () => notLeader('m1:1'));
    await assert.rejects(settled(observer.report(NODE)), /no leader/);
    assert.ok(asked.length <= 2 * 8);
    listen('m1:1', () => REPORTED, 'silence');
    listen('m2:1', () => undefined);
    await assert.rejects(settled(observer.report(NODE)), /refused|no answer/);
    assert.equal(open(), 0);
  });

  it('ends what is being asked when it is closed', async () => {
    const { timers, observer, listen, asked, open } = fixture();
    listen('m1:1', () => undefined);
    const rejected = assert.rejects(observer.report(NODE));
    await timers.until(() => asked.length === 2, 1000, 'asked');
    observer.close();
    await rejected;
    assert.equal(open(), 0);
    await assert.rejects(observer.topology(), /closed/);
  });
});
