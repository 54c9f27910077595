import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import {
  environment,
  RINGFS_MAIN,
  ringfs,
  sh,
  shAsync,
  TestCluster,
  until,
} from '../support/test-cluster.ts';

interface MembersJson {
  readonly members: readonly { readonly id: string; readonly role: string }[];
}

describe('a metadata cluster that changes its members under load', () => {
  const source = path.resolve(import.meta.dirname, '../../../node_modules/typescript/lib');
  let cluster: TestCluster;
  let address = '';
  let fourth: ChildProcess | undefined;

  before(async () => {
    cluster = await TestCluster.start();
    address = `127.0.0.1:${cluster.basePort + 4}`;
  });
  after(async () => {
    if (fourth?.exitCode === null) {
      fourth.kill('SIGKILL');
      await once(fourth, 'exit');
    }
    await cluster.remove();
  });

  const change = (...args: string[]): ReturnType<typeof ringfs> =>
    ringfs('cluster', ...args, '--data', cluster.data, '--json');
  const members = (stdout: string): string[] =>
    (JSON.parse(stdout) as MembersJson).members.map(
      ({ id, role }) => `${id} ${role === 'learner' ? role : 'votes'}`,
    );

  async function startFourth(): Promise<void> {
    const data = path.join(cluster.data, 's4');
    const args = [
      'server',
      '--id',
      's4',
      '--listen',
      address,
      '--data',
      data,
      '--join',
      cluster.addresses.join(','),
    ];
    fourth = spawn(process.execPath, [RINGFS_MAIN, ...args], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: environment(),
    });
    let out = '';
    defined(fourth.stdout, 'its output')
      .setEncoding('utf8')
      .on('data', (text: string) => (out += text));
    await until('the fourth server is ready', () => /^ready/m.test(out));
  }

  it('takes in a fourth server, survives the loss of a founder, and removes it: no operation fails', async () => {
    const copy = shAsync(`for i in 1 2 3; do cp -a ${source} ${cluster.path('copy')}$i; done`);
    await startFourth();
    const added = change('add', `s4=${address}`);
    assert.equal(added.status, 0, added.stderr);
    assert.deepEqual(members(added.stdout), ['s1 votes', 's2 votes', 's3 votes', 's4 votes']);
    const handedOver = change('transfer', 's4');
    assert.equal(handedOver.status, 0, handedOver.stderr);
    const removed = change('remove', 's1');
    assert.equal(removed.status, 0, removed.stderr);
    assert.deepEqual(members(removed.stdout), ['s2 votes', 's3 votes', 's4 votes']);
    await copy;
    for (const i of [1, 2, 3]) sh(`diff -r ${source} ${cluster.path('copy')}${i}`);
  });

  it('keeps its members over a kill -9 of the newest', async () => {
    const killed = defined(fourth, 'the fourth server');
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    sh(`echo without > ${cluster.path('without')}`);
    await startFourth();
    await until('the fourth server answers', () => {
      const { stdout } = change('list');
      const list = JSON.parse(stdout) as { members: { id: string; answers: boolean; behind: number }[] };
      return list.members.find(({ id, answers, behind }) => id === 's4' && answers && behind === 0);
    });
    assert.deepEqual(members(change('list').stdout), ['s2 votes', 's3 votes', 's4 votes']);
    assert.equal(sh(`cat ${cluster.path('without')}`), 'without\n');
  });

  it('refuses what makes no sense, with a reason', () => {
    const refused = (pattern: RegExp, ...args: string[]): void => {
      const { status, stderr } = change(...args);
      assert.notEqual(status, 0);
      assert.match(stderr, pattern);
    };
    refused(/s2 is a member already/, 'add', `s2=${address}`);
    refused(/is the address of member s4/, 'add', `s9=${address}`);
    refused(/s9 is not a member/, 'remove', 's9');
    refused(/s9 is not a voter/, 'transfer', 's9');
    refused(/not a peer/, 'add', 'nonsense');
  });
});
