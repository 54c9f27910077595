import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRNO } from '../../../src/base/errno.ts';
import {
  LEASE_TTL_MS,
  SESSION_HELLO_MS,
  SESSION_SWEEP_INTERVAL_MS,
  SESSION_TTL_MS,
} from '../../../src/base/limits.ts';
import { sessionExists } from '../../../src/meta/session-rows.ts';
import { leaderFixture, type MetaServerFixture, turn } from '../../support/meta-server-fixture.ts';
import { mkfile } from '../../support/namespace-ops.ts';
import type { RequestBody, StubMetaClient } from '../../support/stub-meta-client.ts';

const ROOT = 1;

const helloRequest = (
  session: number,
  more: { clusterId?: string; nonce?: Uint8Array } = {},
): RequestBody => ({
  $case: 'hello',
  value: {
    session,
    nonce: more.nonce ?? new Uint8Array(16),
    client: 'c',
    clusterId: more.clusterId ?? '',
    observer: false,
  },
});

/** Lets time pass while `clients` ping. */
async function pass(
  fixture: MetaServerFixture,
  ms: number,
  clients: readonly StubMetaClient[],
): Promise<void> {
  for (let left = ms; left > 0; left -= 1000) {
    await fixture.timers.advance(Math.min(left, 1000));
    for (const client of clients) await client.call({ $case: 'ping', value: {} });
  }
}

describe('hello', () => {
  it('opens a session, once per nonce', async () => {
    const fixture = await leaderFixture();
    const nonce = new Uint8Array(16).fill(7);
    const first = await fixture.stub().ask(helloRequest(0, { nonce }), 'hello');
    const again = await fixture.stub().ask(helloRequest(0, { nonce }), 'hello');
    const other = await fixture.stub().ask(helloRequest(0), 'hello');
    assert.ok(first.session > 0);
    assert.equal(again.session, first.session);
    assert.notEqual(other.session, first.session);
    assert.deepEqual(first, {
      session: first.session,
      clusterId: 'c1',
      time: { sec: 1_700_000_000, nsec: 0 },
      sessionTtlMs: SESSION_TTL_MS,
      leaseTtlMs: LEASE_TTL_MS,
      replicas: 3,
      appliedIndex: first.session,
    });
    assert.equal(fixture.server.stats().sessions, 2);
  });

  it('comes back to a session, whose older stream ends', async () => {
    const fixture = await leaderFixture();
    const old = await fixture.client();
    const fresh = fixture.stub();
    await fresh.hello(old.session);
    assert.equal(old.open, false);
    assert.equal(fresh.open, true);
    await fresh.ping();
    assert.equal((await fresh.commit([mkfile(ROOT, 'f')])).body?.$case, 'ok');
    old.handler.onClose(); // the transport tells late
    assert.equal(await fresh.ping(), true);
  });

  it('a hello on the same stream again is answered again', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    const session = client.session;
    await client.hello(session);
    assert.equal(client.open, true);
    assert.equal(await client.ping(), true);
  });

  it('refuses an unknown session with ESTALE', async () => {
    const fixture = await leaderFixture();
    const error = await fixture.stub().ask(helloRequest(12345), 'error');
    assert.equal(error.errno, ERRNO.ESTALE);
    assert.match(error.message, /12345/);
  });

  it('refuses a client of another cluster, observer or not, and says why', async () => {
    const fixture = await leaderFixture();
    const error = await fixture.stub().ask(helloRequest(0, { clusterId: 'c2' }), 'error');
    assert.equal(error.errno, ERRNO.EINVAL);
    assert.match(error.message, /this is cluster c1, not c2/);
    await fixture.stub().ask(helloRequest(0, { clusterId: 'c1' }), 'hello');
  });

  it('refuses a nonce that is none', async () => {
    const fixture = await leaderFixture();
    const error = await fixture.stub().ask(helloRequest(0, { nonce: new Uint8Array(3) }), 'error');
    assert.equal(error.errno, ERRNO.EINVAL);
  });

  it('must come first', async () => {
    const fixture = await leaderFixture();
    for (const body of [
      { $case: 'ping', value: {} },
      { $case: 'getAttr', value: { ino: ROOT } },
    ] as const) {
      assert.equal((await fixture.stub().ask(body, 'error')).errno, ERRNO.EPROTO);
    }
  });

  it('a stream that ended while its hello was under way does not take the session', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    let go: (() => void) | undefined;
    fixture.replica.barrier = () =>
      new Promise((resolve) => {
        go = resolve;
      });
    const late = fixture.stub();
    const hello = late.call(helloRequest(client.session));
    await turn();
    late.break();
    go?.();
    assert.equal((await hello).$case, 'error');
    fixture.replica.barrier = undefined;
    assert.equal(client.open, true);
    assert.equal(await client.ping(), true);
  });
});

describe('session expiry', () => {
  it('expires a session that is silent for its time to live, and tells it so', async () => {
    const fixture = await leaderFixture();
    const silent = await fixture.client();
    const alive = await fixture.client();
    await pass(fixture, SESSION_TTL_MS - SESSION_SWEEP_INTERVAL_MS, [alive]);
    assert.equal(silent.open, true);
    await pass(fixture, 2 * SESSION_SWEEP_INTERVAL_MS, [alive]);
    assert.equal(silent.open, false);
    assert.equal(alive.open, true);
    assert.equal(await sessionExists(fixture.replica.state, silent.session), false);
    assert.equal(await sessionExists(fixture.replica.state, alive.session), true);
    assert.equal(fixture.server.stats().sessionsExpired, 1);
    const error = await fixture.stub().ask(helloRequest(silent.session), 'error');
    assert.equal(error.errno, ERRNO.ESTALE);
  });

  it('expires a session that is not connected', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    client.break();
    await fixture.timers.advance(SESSION_TTL_MS + 2 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(await sessionExists(fixture.replica.state, client.session), false);
    assert.equal(fixture.server.stats().sessions, 0);
  });

  it('any request keeps a session alive', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    for (let i = 0; i < 3; i++) {
      await fixture.timers.advance(SESSION_TTL_MS - 2 * SESSION_SWEEP_INTERVAL_MS);
      await client.call({ $case: 'getAttr', value: { ino: ROOT } });
    }
    assert.equal(client.open, true);
  });

  it('a session whose hello got no answer is found and expired', async () => {
    const fixture = await leaderFixture();
    fixture.replica.hold();
    const client = fixture.stub();
    const hello = client.call(helloRequest(0));
    await turn();
    client.break();
    fixture.replica.release();
    await hello;
    const session = fixture.replica.appliedIndex();
    assert.equal(await sessionExists(fixture.replica.state, session), true);
    assert.equal(fixture.server.stats().sessions, 0);
    await fixture.timers.advance(2 * SESSION_TTL_MS + 3 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(await sessionExists(fixture.replica.state, session), false);
  });

  it('is not put off by new leaders that know how long it was silent', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    for (let silentMs = 0; silentMs < SESSION_TTL_MS; silentMs += SESSION_HELLO_MS + 1_000) {
      fixture.replica.becomeFollower();
      fixture.replica.becomeLeader();
      await fixture.timers.advance(SESSION_HELLO_MS + 1_000);
    }
    await fixture.timers.advance(2 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(await sessionExists(fixture.replica.state, client.session), false);
  });

  it('has time for a hello to a new leader, however long it was silent', async () => {
    const fixture = await leaderFixture();
    const [client, other] = [await fixture.client(), await fixture.client()];
    fixture.replica.becomeFollower();
    fixture.replica.silence = [
      { session: client.session, silentMs: SESSION_TTL_MS - 1 },
      { session: other.session, silentMs: 3 * SESSION_TTL_MS },
    ];
    fixture.replica.becomeLeader();
    await fixture.timers.advance(SESSION_HELLO_MS - SESSION_SWEEP_INTERVAL_MS);
    const again = fixture.stub();
    await again.ask(helloRequest(client.session), 'hello');
    assert.equal(await sessionExists(fixture.replica.state, other.session), true);
    await pass(fixture, 3 * SESSION_SWEEP_INTERVAL_MS, [again]);
    assert.equal(await sessionExists(fixture.replica.state, client.session), true);
    assert.equal(await sessionExists(fixture.replica.state, other.session), false);
  });

  it('has its full time when nothing is known of it', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    await fixture.timers.advance(SESSION_TTL_MS - SESSION_SWEEP_INTERVAL_MS);
    fixture.replica.becomeFollower();
    assert.equal(fixture.replica.silence.length, 1);
    fixture.replica.silence = [];
    fixture.replica.becomeLeader();
    await fixture.timers.advance(SESSION_TTL_MS - SESSION_SWEEP_INTERVAL_MS);
    assert.equal(await sessionExists(fixture.replica.state, client.session), true);
    await fixture.timers.advance(3 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(await sessionExists(fixture.replica.state, client.session), false);
  });

  it('a refused expiry is tried again', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    fixture.replica.overloaded = true;
    await fixture.timers.advance(SESSION_TTL_MS + 3 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(await sessionExists(fixture.replica.state, client.session), true);
    fixture.replica.overloaded = false;
    await fixture.timers.advance(2 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(await sessionExists(fixture.replica.state, client.session), false);
  });

  it('a session that is being expired gets no lease', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    fixture.replica.hold();
    await fixture.timers.advance(SESSION_TTL_MS + 2 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(fixture.replica.held, 1);
    assert.equal(await client.ping(), false);
    const other = fixture.stub();
    assert.equal((await other.ask(helloRequest(client.session), 'error')).errno, ERRNO.EAGAIN);
    fixture.replica.release();
    await turn();
    assert.equal(client.open, false);
  });
});

describe('goodbye', () => {
  const goodbye: RequestBody = { $case: 'goodbye', value: {} };

  it('ends the session at once, and answers', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    const other = await fixture.client();
    await client.ask(goodbye, 'goodbye');
    assert.equal(await sessionExists(fixture.replica.state, client.session), false);
    assert.equal(await sessionExists(fixture.replica.state, other.session), true);
    assert.equal(fixture.server.stats().sessions, 1);
    assert.equal((await client.ask(goodbye, 'error')).errno, ERRNO.ESTALE);
    client.break();
    assert.equal(await other.ping(), true);
  });

  it('a commit of another client does not wait for it, nor does the next leader', async () => {
    const fixture = await leaderFixture();
    const gone = await fixture.client();
    const other = await fixture.client();
    gone.autoAck = false;
    await gone.call({ $case: 'getAttr', value: { ino: ROOT } });
    await gone.ask(goodbye, 'goodbye');
    assert.equal((await other.commit([mkfile(ROOT, 'f')])).body?.$case, 'ok');
    fixture.replica.becomeFollower();
    fixture.replica.becomeLeader();
    const again = fixture.stub();
    await again.hello(other.session);
    await again.ping();
    again.sequence = other.sequence;
    assert.equal((await again.commit([mkfile(ROOT, 'g')])).body?.$case, 'ok');
  });

  it('is refused while the leader cannot take it, and the session lives on', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    fixture.replica.overloaded = true;
    assert.equal((await client.ask(goodbye, 'error')).errno, ERRNO.EAGAIN);
    fixture.replica.overloaded = false;
    assert.equal(await client.ping(), true);
    await client.ask(goodbye, 'goodbye');
  });
});

describe('a process that stood still', () => {
  it('expires nobody whose pings it could not read meanwhile', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    fixture.clock.suspend(3 * SESSION_TTL_MS);
    await fixture.timers.advance(SESSION_SWEEP_INTERVAL_MS);
    assert.equal(client.open, true);
    assert.equal(await sessionExists(fixture.replica.state, client.session), true);
    await fixture.timers.advance(SESSION_TTL_MS - 2 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(client.open, true);
    await fixture.timers.advance(4 * SESSION_SWEEP_INTERVAL_MS);
    assert.equal(client.open, false);
  });
});
