import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRNO } from '../../../src/base/errno.ts';
import {
  COMMAND_BYTES_MAX,
  KNOWN_BLOCKS_PER_REQUEST_MAX,
  OPS_PER_COMMIT_MAX,
} from '../../../src/base/limits.ts';
import { Command } from '../../../src/gen/ringfs/v1/namespace.ts';
import { leaderFixture, turn } from '../../support/meta-server-fixture.ts';
import { mkfile, setXattr } from '../../support/namespace-ops.ts';
import type { RequestBody } from '../../support/stub-meta-client.ts';

const ROOT = 1;
const commitBytes = (command: Uint8Array): RequestBody => ({ $case: 'commit', value: { command } });

describe('bad requests', () => {
  it('commits that are none are refused before they reach the log', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    const proposals = fixture.replica.proposed.length;
    const expire = Command.encode({
      body: { $case: 'expireSessions', value: { sessions: [client.session] } },
    });
    const many = Array.from({ length: OPS_PER_COMMIT_MAX + 1 }, () => mkfile(ROOT, 'x'));
    const bad: Record<string, RequestBody> = {
      garbage: commitBytes(Uint8Array.from([0xff, 0xff, 0xff, 0xff])),
      empty: commitBytes(new Uint8Array(0)),
      truncated: commitBytes(Uint8Array.from([0x0a, 0x7f, 0x08])),
      'another command': commitBytes(expire.finish()),
      'another session': client.commitRequest([mkfile(ROOT, 'x')], { session: client.session + 1 }),
      'sequence 0': client.commitRequest([mkfile(ROOT, 'x')], { sequence: 0 }),
      'too many ops': client.commitRequest(many),
      'too big': client.commitRequest([setXattr(ROOT, 'user.x', new Uint8Array(COMMAND_BYTES_MAX))]),
      'too many blocks': {
        $case: 'knownBlocks',
        value: {
          blockIds: Array.from({ length: KNOWN_BLOCKS_PER_REQUEST_MAX + 1 }, () => new Uint8Array(32)),
        },
      },
      'no block id': { $case: 'knownBlocks', value: { blockIds: [new Uint8Array(3)] } },
    };
    for (const [name, request] of Object.entries(bad)) {
      assert.equal((await client.ask(request, 'error')).errno, ERRNO.EINVAL, name);
    }
    assert.equal(fixture.replica.proposed.length, proposals);
    assert.equal(await client.ping(), true);
  });

  it('a request of an unknown kind is refused', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    const reply = await client.call(undefined as unknown as RequestBody);
    assert.equal(reply.$case === 'error' && reply.value.errno, ERRNO.EINVAL);
  });

  it('an observer reads without leases, and changes nothing', async () => {
    const fixture = await leaderFixture();
    const observer = fixture.stub();
    await observer.observe();
    const { attr, leased } = await observer.ask({ $case: 'getAttr', value: { ino: ROOT } }, 'getAttr');
    assert.deepEqual([attr?.ino, leased], [ROOT, false]);
    const command = new Uint8Array(1);
    assert.equal((await observer.ask({ $case: 'commit', value: { command } }, 'error')).errno, ERRNO.EPROTO);
  });

  it('acknowledgements of nothing are passed over', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    client.send({ $case: 'recallAck', value: { recallId: 99 } });
    client.send({ $case: 'openInodesReply', value: { queryId: 99, open: [1] } });
    fixture.stub().send({ $case: 'recallAck', value: { recallId: 1 } });
    await turn();
    assert.equal(await client.ping(), true);
  });
});

describe('limits and failures', () => {
  it('refuses requests beyond the limit of a stream, but never a ping', async () => {
    const fixture = await leaderFixture({ callsInFlightMax: 2 });
    const client = await fixture.client();
    fixture.replica.hold();
    const commits = [client.commit([mkfile(ROOT, 'a')]), client.commit([mkfile(ROOT, 'b')])];
    const refused = await client.ask({ $case: 'getAttr', value: { ino: ROOT } }, 'error');
    assert.equal(refused.errno, ERRNO.EAGAIN);
    assert.equal(await client.ping(), true);
    fixture.replica.release();
    await Promise.all(commits);
    await client.ask({ $case: 'getAttr', value: { ino: ROOT } }, 'getAttr');
    assert.equal(fixture.server.stats().overloaded, 1);
  });

  it('an overloaded log is EAGAIN', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    fixture.replica.overloaded = true;
    const error = await client.ask(client.commitRequest([mkfile(ROOT, 'a')]), 'error');
    assert.equal(error.errno, ERRNO.EAGAIN);
  });

  it('an unknown failure is EIO to the client and one line with its cause in the log', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    const cause = new Error('disk on fire at /secret');
    fixture.replica.state.get = () => Promise.reject(cause);
    const error = await client.ask({ $case: 'getAttr', value: { ino: ROOT } }, 'error');
    assert.deepEqual(error, { errno: ERRNO.EIO, message: 'EIO' });
    const lines = fixture.logger.lines.filter((line) => line.message === 'request failed');
    assert.equal(lines.length, 1);
    assert.equal(lines[0]?.level, 'error');
    assert.deepEqual(lines[0]?.fields, {
      request: 'getAttr',
      remote: client.remote,
      session: client.session,
      err: cause,
    });
  });

  it('what succeeds and what is merely absent is not logged', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    await client.commit([mkfile(ROOT, 'a')]);
    await client.ask({ $case: 'getAttr', value: { ino: 999 } }, 'error');
    assert.deepEqual(
      fixture.logger.lines.filter((line) => line.message === 'request failed'),
      [],
    );
    assert.equal(fixture.server.stats().failed, 1);
  });

  it('stop ends every stream and leaves no timer', async () => {
    const fixture = await leaderFixture();
    const client = await fixture.client();
    const observer = fixture.stub();
    await observer.observe();
    await client.ask({ $case: 'getAttr', value: { ino: ROOT } }, 'getAttr');
    fixture.server.stop();
    assert.deepEqual([client.open, observer.open], [false, false]);
    assert.equal(fixture.timers.waiting, 0);
    assert.equal(fixture.server.stats().streams, 0);
    const late = fixture.stub();
    await late.handler.onRequest({ $case: 'ping', value: {} });
    assert.equal(late.open, false);
  });
});
