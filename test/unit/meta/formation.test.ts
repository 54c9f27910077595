import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FormationReply, FormationRequest } from '../../../src/gen/ringfs/v1/admin.ts';
import { Formation, FormationRefusedError, formationReply } from '../../../src/meta/formation.ts';
import { RecordingLogger } from '../../support/recording-logger.ts';
import { VirtualTimers } from '../../support/virtual-timers.ts';

const PEERS = ['s1', 's2', 's3'].map((id) => ({ id, address: `${id}:1` }));
const FOUNDERS = { s1: 'i1', s2: 'i2', s3: 'i3' };

const self = (id: string) => ({ id, clusterId: 'c', instanceId: `i${id.slice(1)}` });
const blank = (id: string): FormationReply =>
  formationReply(self(id), { meta: true, peers: PEERS, founders: undefined });
const formed = (id: string, founders: Record<string, string>): FormationReply =>
  formationReply(self(id), { meta: true, peers: PEERS, founders });

/** s1 asks; the others answer as a test says. */
class Fixture {
  readonly timers = new VirtualTimers();
  readonly logger = new RecordingLogger();
  readonly answers = new Map<string, FormationReply | 'hangs'>();
  readonly abort = new AbortController();
  asked = 0;
  readonly formation: Formation;

  constructor() {
    const ask = async (address: string, request: FormationRequest): Promise<FormationReply> => {
      assert.deepEqual(request, { id: 's1', instanceId: 'i1' });
      this.asked++;
      const answer = this.answers.get(address.slice(0, 2));
      if (answer === undefined) throw new Error(`${address}: connection refused`);
      if (answer === 'hangs') return await new Promise<never>(() => undefined);
      return answer;
    };
    const parts = { ask, timers: this.timers, logger: this.logger };
    this.formation = new Formation(parts, { ...self('s1'), peers: PEERS });
  }

  decided(): Promise<Record<string, string>> {
    return this.formation.decided(this.abort.signal);
  }
}

describe('waiting for a cluster to be formed', () => {
  it('ends after two rounds when everybody is blank', async () => {
    const f = new Fixture();
    f.answers.set('s2', blank('s2')).set('s3', blank('s3'));
    assert.deepEqual(await f.decided(), FOUNDERS);
    assert.equal(f.asked, 4);
    assert.deepEqual(f.formation.waiting, []);
  });

  it('goes on, ever more slowly, while somebody is silent, and says for whom', async () => {
    const f = new Fixture();
    f.answers.set('s2', blank('s2'));
    const decided = f.decided();
    await f.timers.advance(600_000);
    assert.deepEqual(f.formation.waiting, ['s3']);
    const rounds = f.asked / 2;
    assert.ok(rounds > 590 && rounds < 615, `${rounds} rounds in 600 s`);
    const notices = f.logger.lines.filter(({ level }) => level === 'warn');
    assert.ok(notices.length >= 5 && notices.length <= 12, `${notices.length} notices`);
    assert.match(JSON.stringify(notices[0]?.fields), /s3.*connection refused/);
    f.answers.set('s3', blank('s3'));
    await f.timers.advance(1_000);
    assert.deepEqual(await decided, FOUNDERS);
  });

  it('asks at once when somebody new is heard, and only then', async () => {
    const f = new Fixture();
    f.answers.set('s2', blank('s2'));
    const decided = f.decided();
    await f.timers.advance(60_000);
    const before = f.asked;
    f.formation.heard({ id: 's2', instanceId: 'i2' });
    f.formation.heard({ id: 's9', instanceId: 'i9' });
    await f.timers.advance(0);
    assert.equal(f.asked, before, 'what it knows already is no news');
    f.answers.set('s3', blank('s3'));
    f.formation.heard({ id: 's3', instanceId: 'i3' });
    await f.timers.advance(0);
    assert.deepEqual(await decided, FOUNDERS);
  });

  it('is over when one says that it has counted this server, whatever the others say', async () => {
    const f = new Fixture();
    f.answers.set('s3', formed('s3', FOUNDERS));
    assert.deepEqual(await f.decided(), FOUNDERS);
  });

  it('is over when one has a cluster without it', async () => {
    const f = new Fixture();
    f.answers.set('s2', blank('s2')).set('s3', formed('s3', { ...FOUNDERS, s1: 'i0' }));
    await assert.rejects(
      f.decided(),
      (error) => error instanceof FormationRefusedError && error.peer === 's3' && error.address === 's3:1',
    );
  });

  it('ends as it is told to, between rounds and in one', async () => {
    for (const answer of [undefined, 'hangs'] as const) {
      const f = new Fixture();
      if (answer !== undefined) f.answers.set('s2', answer);
      const decided = f.decided();
      decided.catch(() => undefined);
      await f.timers.advance(100);
      f.abort.abort(new Error('enough'));
      await assert.rejects(decided, /enough/);
      assert.equal(f.timers.waiting, 0);
    }
  });
});
