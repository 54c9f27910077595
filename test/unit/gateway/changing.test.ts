import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import { GATEWAY_DELETE_ENTRIES_MAX, GATEWAY_JSON_BYTES_MAX } from '../../../src/base/limits.ts';
import { answerOf, errorOf, GatewayFixture } from '../../support/gateway-fixture.ts';
import { bytes, ROOT, settle } from '../../support/vfs-fixture.ts';

const digestOf = (content: string, name = 'sha256'): string =>
  createHash(name).update(content).digest('base64');

let fixture: GatewayFixture;
beforeEach(async () => {
  fixture = await GatewayFixture.start();
});
afterEach(async () => {
  while (fixture.server.stats().inFlight > 0) await settle();
  // Whatever was asked for: nothing is left open, and no slot taken.
  const { handles, knownInodes, dirtyBytes } = fixture.own.vfs.stats();
  const { uploads, downloads } = fixture.gateway.context;
  assert.deepEqual(
    [handles, knownInodes, dirtyBytes, uploads.used, downloads.used],
    [0, 0, 0, 0, 0],
    'what is left open',
  );
  await fixture.close();
});

const status = async (path: string, method: string, headers: Record<string, string> = {}): Promise<number> =>
  (await fixture.ask(path, { method, headers })).status;

describe('PUT', () => {
  it('makes a file, and replaces it', async () => {
    const made = await fixture.put('new', 'first');
    assert.equal(made.status, 201);
    assert.equal(await fixture.otherReads('new'), 'first');
    const replaced = await fixture.put('new', 'second, longer');
    assert.equal(replaced.status, 204);
    assert.equal(await fixture.otherReads('new'), 'second, longer');
    const got = await fixture.ask('/v1/files/new');
    assert.equal(got.headers.etag, replaced.headers.etag);
    assert.notEqual(got.headers.etag, made.headers.etag);
    assert.deepEqual(await fixture.names(), ['new']);
  });

  it('makes a file of nothing', async () => {
    assert.equal((await fixture.put('empty', '')).status, 201);
    assert.equal(await fixture.otherReads('empty'), '');
  });

  it('shows the old file until the new one is whole, and then the new one', async () => {
    await fixture.otherWrites('file', 'old');
    const request = fixture.open('/v1/files/file', { method: 'PUT' });
    const answer = answerOf(request);
    request.write('new ');
    while (fixture.server.stats().receivedBytes === 0) await settle();
    assert.equal(await fixture.otherReads('file'), 'old');
    assert.equal((await fixture.ask('/v1/files/file')).body.toString(), 'old');
    request.end('content');
    assert.equal((await answer).status, 204);
    assert.equal(await fixture.otherReads('file'), 'new content');
  });

  it('that is broken off leaves what there was, and nothing else', async () => {
    await fixture.otherWrites('file', 'old');
    for (const path of ['file', 'absent']) {
      const headers = { 'content-length': '1000' };
      const request = fixture.open(`/v1/files/${path}`, { method: 'PUT', headers });
      request.on('error', () => undefined);
      const before = fixture.server.stats().receivedBytes;
      request.write('only a part');
      while (fixture.server.stats().receivedBytes === before) await settle();
      request.destroy();
      while (fixture.server.stats().inFlight > 0) await settle();
    }
    assert.deepEqual(await fixture.names(), ['file']);
    assert.equal(await fixture.otherReads('file'), 'old');
    await settle();
    assert.equal(await fixture.cluster.meta.reapOrphans(), 2);
    const counts = fixture.server.stats().requests.find(({ kind }) => kind === 'PUT');
    assert.deepEqual(counts?.outcomes, { 499: 2 });
  });

  it('keeps mode and owner of what it replaces, and has its own where there was nothing', async () => {
    const { vfs } = fixture.other;
    const ino = await fixture.otherWrites('script', 'old');
    await vfs.setattr(ROOT, ino, { mode: 0o4750, uid: 7, gid: 8 });
    await fixture.put('script', 'new');
    const stat = await fixture.json<{ mode: string; uid: number; gid: number }>('/v1/stat/script');
    assert.deepEqual([stat.mode, stat.uid, stat.gid], ['0750', 7, 8]);
    const own = await GatewayFixture.start({ uid: 1000, gid: 100 });
    await own.put('a/b?parents', 'x');
    for (const [path, mode] of [
      ['a', '0755'],
      ['a/b', '0644'],
    ] as const) {
      const made = await own.json<{ mode: string; uid: number; gid: number }>(`/v1/stat/${path}`);
      assert.deepEqual([made.mode, made.uid, made.gid], [mode, 1000, 100]);
    }
    await own.close();
  });

  it('makes the directories on the way only if told to', async () => {
    assert.deepEqual(errorOf(await fixture.put('a/b/c', 'x')).code, 'ENOENT');
    assert.equal((await fixture.put('a/b/c?parents', 'x')).status, 201);
    assert.equal((await fixture.put('a/b/d?parents', 'y')).status, 201);
    assert.equal(await fixture.otherReads('a/b/d'), 'y');
    assert.equal(errorOf(await fixture.put('a/b/c/d?parents', 'x')).code, 'ENOTDIR');
  });

  it('goes through a symbolic link to the file', async () => {
    await fixture.otherWrites('file', 'old');
    await fixture.other.vfs.symlink(ROOT, ROOT_INO, bytes('link'), bytes('file'));
    await fixture.other.vfs.symlink(ROOT, ROOT_INO, bytes('dangling'), bytes('/made'));
    assert.equal((await fixture.put('link', 'new')).status, 204);
    assert.equal(await fixture.otherReads('file'), 'new');
    assert.equal((await fixture.put('dangling', 'new')).status, 201);
    assert.equal(await fixture.otherReads('made'), 'new');
    assert.equal((await fixture.json<{ type: string }>('/v1/stat/link')).type, 'symlink');
  });

  it('leaves other names of the old file alone', async () => {
    const ino = await fixture.otherWrites('file', 'old');
    await fixture.other.vfs.link(ino, ROOT_INO, bytes('second'));
    await fixture.put('file', 'new');
    assert.equal(await fixture.otherReads('second'), 'old');
  });

  it('refuses what cannot be replaced', async () => {
    await fixture.other.vfs.mkdir(ROOT, ROOT_INO, bytes('dir'), 0o755);
    await fixture.other.vfs.mknod(ROOT, ROOT_INO, bytes('fifo'), 0o010644, 0);
    assert.equal(errorOf(await fixture.put('dir', 'x')).code, 'EISDIR');
    assert.equal(errorOf(await fixture.put('dir/', 'x')).code, 'EISDIR');
    assert.equal(errorOf(await fixture.put('', 'x')).code, 'EISDIR');
    assert.equal(errorOf(await fixture.put('fifo', 'x')).code, 'EEXIST');
    const part = await fixture.put('part', 'x', { 'content-range': 'bytes 0-0/1' });
    assert.equal(errorOf(part).code, 'BAD_REQUEST');
    const long = { method: 'PUT', headers: { 'content-length': String(2 ** 50 + 1) } };
    const request = fixture.open('/v1/files/huge', long);
    const answer = answerOf(request);
    request.flushHeaders();
    assert.equal(errorOf(await answer).code, 'EFBIG');
    request.destroy();
  });

  it('checks the digest before anything takes effect', async () => {
    await fixture.otherWrites('file', 'old');
    const wrong = await fixture.put('file', 'new', { 'content-digest': `sha-256=:${digestOf('other')}:` });
    assert.deepEqual(errorOf(wrong), { status: 400, code: 'BAD_DIGEST', path: '/v1/files/file' });
    assert.equal(await fixture.otherReads('file'), 'old');
    for (const header of ['sha-256=abc', 'md5=:abcd:', 'nonsense'])
      assert.equal(
        errorOf(await fixture.put('file', 'new', { 'content-digest': header })).code,
        'BAD_DIGEST',
      );
    const both = `sha-512=:${digestOf('new', 'sha512')}:, sha-256=:${digestOf('new')}:`;
    assert.equal((await fixture.put('file', 'new', { 'content-digest': both })).status, 204);
    const mixed = `unixsum=:YWJj:, sha-256=:${digestOf('newer')}:`;
    assert.equal((await fixture.put('file', 'newer', { 'content-digest': mixed })).status, 204);
    assert.equal(await fixture.otherReads('file'), 'newer');
  });

  it('fails as a whole when the blocks cannot be stored', async () => {
    await fixture.otherWrites('file', 'old');
    fixture.own.blocks.hooks.beforePut = () => {
      throw new Error('the ring is gone');
    };
    const answer = await fixture.put('file', Buffer.alloc(100_000, 1));
    assert.deepEqual([answer.status, errorOf(answer).code], [500, 'EIO']);
    assert.equal(await fixture.otherReads('file'), 'old');
  });

  it('is told why it is refused, although it has not sent all', async () => {
    await fixture.otherWrites('file', 'old');
    const body = Buffer.alloc(24 << 20, 1);
    for (let i = 0; i < 5; i++)
      assert.equal((await fixture.put('file', body, { 'if-none-match': '*' })).status, 412);
    // In the middle of the body.
    for (let i = 0; i < 5; i++)
      assert.equal((await fixture.ask('/v1/rename', { method: 'POST', body })).status, 413);
  });

  it('does not depend on how the client calls its content', async () => {
    for (const type of ['text/plain', 'application/json', 'nonsense', 'multipart/form-data'])
      assert.equal((await fixture.put(`as-${type.length}`, '{', { 'content-type': type })).status, 201, type);
  });

  it('is refused beyond so many at a time', async () => {
    const small = await GatewayFixture.start({ uploadsMax: 1 });
    const request = small.open('/v1/files/first', { method: 'PUT' });
    const first = answerOf(request);
    request.write('x');
    while (small.gateway.context.uploads.used === 0) await settle();
    assert.equal(errorOf(await small.put('second', 'x')).code, 'BUSY');
    request.end();
    assert.equal((await first).status, 201);
    assert.equal((await small.put('second', 'x')).status, 201);
    await small.close();
  });
});

describe('a conditional PUT', () => {
  it('makes only what is not there', async () => {
    const none = { 'if-none-match': '*' };
    assert.equal((await fixture.put('file', 'mine', none)).status, 201);
    assert.deepEqual(errorOf(await fixture.put('file', 'yours', none)).code, 'PRECONDITION_FAILED');
    assert.equal(await fixture.otherReads('file'), 'mine');
  });

  it('replaces only what the client has seen', async () => {
    const { headers } = await fixture.put('file', 'one');
    const match = { 'if-match': String(headers.etag) };
    const second = await fixture.put('file', 'two', match);
    assert.equal(second.status, 204);
    assert.equal((await fixture.put('file', 'three', match)).status, 412);
    assert.equal((await fixture.put('absent', 'x', { 'if-match': '*' })).status, 412);
    assert.equal((await fixture.put('file', 'four', { 'if-match': '*' })).status, 204);
    assert.equal(
      (await fixture.put('file', 'x', { 'if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' })).status,
      412,
    );
    assert.equal(await fixture.otherReads('file'), 'four');
  });

  /** An upload whose body is complete only after `meanwhile`. */
  async function overtaken(
    headers: Record<string, string>,
    meanwhile: () => Promise<unknown>,
  ): Promise<number> {
    const request = fixture.open('/v1/files/file', { method: 'PUT', headers });
    const answer = answerOf(request);
    const before = fixture.server.stats().receivedBytes;
    request.write('the ');
    while (fixture.server.stats().receivedBytes === before) await settle();
    await meanwhile();
    request.end('upload');
    return (await answer).status;
  }

  it('loses to what happens during the upload', async () => {
    assert.equal(await overtaken({ 'if-none-match': '*' }, () => fixture.otherWrites('file', 'theirs')), 412);
    assert.equal(await fixture.otherReads('file'), 'theirs');
    const etag = String((await fixture.ask('/v1/files/file')).headers.etag);
    assert.equal(await overtaken({ 'if-match': etag }, () => fixture.put('file', 'newer')), 412);
    assert.equal(await fixture.otherReads('file'), 'newer');
    const { unlink } = fixture.other.vfs;
    const now = String((await fixture.ask('/v1/files/file')).headers.etag);
    const gone = (): Promise<void> => unlink.call(fixture.other.vfs, ROOT_INO, bytes('file'));
    assert.equal(await overtaken({ 'if-match': now }, gone), 412);
    assert.deepEqual(await fixture.names(), []);
  });

  /** Lets `act` happen between the last look at the name and the commit that gives it, `times` times. */
  function beforeTheCommit(times: number, act: () => Promise<unknown>): void {
    let left = times;
    fixture.cluster.meta.hooks.beforeCommit = async (client, ops) => {
      const links = ops.some(({ body }) => body?.$case === 'link');
      if (client !== fixture.own.meta || !links || left-- <= 0) return;
      await act();
    };
  }

  it('loses to what happens at the last moment: the commit decides', async () => {
    beforeTheCommit(1, () => fixture.otherWrites('file', 'theirs'));
    assert.equal((await fixture.put('file', 'mine', { 'if-none-match': '*' })).status, 412);
    assert.equal(await fixture.otherReads('file'), 'theirs');
    const ino = (await fixture.other.vfs.lookup(ROOT_INO, bytes('file'))).ino as Ino;
    const etag = String((await fixture.ask('/v1/files/file')).headers.etag);
    beforeTheCommit(1, async () => {
      const { handle } = await fixture.other.vfs.open(ROOT, ino, 2);
      await fixture.other.vfs.write(ino, handle, 0, bytes('THEIRS'));
      await fixture.other.vfs.flush(ino, handle);
      await fixture.other.vfs.release(ino, handle);
    });
    assert.equal((await fixture.put('file', 'mine', { 'if-match': etag })).status, 412);
    assert.equal(await fixture.otherReads('file'), 'THEIRS');
  });

  it('does not lose to a change that leaves the content', async () => {
    await fixture.otherWrites('file', 'old');
    const etag = String((await fixture.ask('/v1/files/file')).headers.etag);
    const ino = (await fixture.other.vfs.lookup(ROOT_INO, bytes('file'))).ino as Ino;
    beforeTheCommit(1, () => fixture.other.vfs.setattr(ROOT, ino, { mode: 0o600 }));
    assert.equal((await fixture.put('file', 'mine', { 'if-match': etag })).status, 204);
    assert.equal(await fixture.otherReads('file'), 'mine');
  });

  it('without conditions the last one wins, whatever the others do meanwhile', async () => {
    await fixture.otherWrites('file', 'old');
    beforeTheCommit(1, () => fixture.other.vfs.unlink(ROOT_INO, bytes('file')));
    assert.equal((await fixture.put('file', 'mine')).status, 201);
    await fixture.other.vfs.unlink(ROOT_INO, bytes('file'));
    beforeTheCommit(1, () => fixture.otherWrites('file', 'theirs'));
    assert.equal((await fixture.put('file', 'last')).status, 204);
    assert.equal(await fixture.otherReads('file'), 'last');
    let turn = 0;
    beforeTheCommit(1000, async () => {
      if (turn++ % 2 === 0) await fixture.other.vfs.unlink(ROOT_INO, bytes('file'));
      else await fixture.otherWrites('file', 'again');
    });
    assert.equal(errorOf(await fixture.put('file', 'never')).code, 'BUSY');
  });

  it('one of many at the same time makes the file', async () => {
    const all = await Promise.all(
      ['a', 'b', 'c', 'd'].map((text) => fixture.put('file', text, { 'if-none-match': '*' })),
    );
    assert.deepEqual(all.map((answer) => answer.status).sort(), [201, 412, 412, 412]);
  });
});

describe('DELETE', () => {
  it('removes a file, a link and an empty directory', async () => {
    await fixture.otherWrites('file', 'x');
    await fixture.other.vfs.symlink(ROOT, ROOT_INO, bytes('link'), bytes('file'));
    await fixture.other.vfs.mkdir(ROOT, ROOT_INO, bytes('dir'), 0o755);
    assert.equal(await status('/v1/files/link', 'DELETE'), 204);
    assert.deepEqual(await fixture.names(), ['dir', 'file']);
    assert.equal(await status('/v1/files/file', 'DELETE'), 204);
    assert.equal(await status('/v1/files/dir/', 'DELETE'), 204);
    assert.deepEqual(await fixture.names(), []);
    assert.equal(errorOf(await fixture.ask('/v1/files/file', { method: 'DELETE' })).code, 'ENOENT');
    assert.equal(errorOf(await fixture.ask('/v1/files/', { method: 'DELETE' })).code, 'EBUSY');
  });

  it('removes only what the client has seen', async () => {
    await fixture.otherWrites('file', 'x');
    const etag = String((await fixture.ask('/v1/files/file')).headers.etag);
    assert.equal(await status('/v1/files/file', 'DELETE', { 'if-match': '"x"' }), 412);
    const ino = (await fixture.other.vfs.lookup(ROOT_INO, bytes('file'))).ino as Ino;
    let changes = 0;
    fixture.cluster.meta.hooks.beforeCommit = async (client, ops) => {
      if (client !== fixture.own.meta || ops[0]?.body?.$case !== 'unlink' || changes++ > 0) return;
      await fixture.other.vfs.setattr(ROOT, ino, { mode: 0o600 });
    };
    assert.equal(await status('/v1/files/file', 'DELETE', { 'if-match': etag }), 204);
    assert.equal(changes, 2);
    assert.deepEqual(await fixture.names(), []);
    await fixture.other.vfs.mkdir(ROOT, ROOT_INO, bytes('dir'), 0o755);
    assert.equal(await status('/v1/files/dir', 'DELETE', { 'if-match': '*' }), 400);
  });

  it('of a tree is asked for, and done in portions', async () => {
    const { vfs } = fixture.other;
    const top = (await vfs.mkdir(ROOT, ROOT_INO, bytes('top'), 0o755)).ino as Ino;
    let parent = top;
    for (let i = 0; i < 30; i++) parent = (await vfs.mkdir(ROOT, parent, bytes('deep'), 0o755)).ino as Ino;
    for (let i = 0; i < GATEWAY_DELETE_ENTRIES_MAX + 50; i++)
      await vfs.mknod(ROOT, i % 2 === 0 ? top : parent, bytes(`f${i}`), 0o100644, 0);
    assert.equal(errorOf(await fixture.ask('/v1/files/top', { method: 'DELETE' })).code, 'ENOTEMPTY');
    const first = await fixture.ask('/v1/files/top?recursive', { method: 'DELETE' });
    assert.equal(first.status, 202);
    assert.deepEqual(JSON.parse(first.body.toString()), { removed: GATEWAY_DELETE_ENTRIES_MAX, done: false });
    const second = await fixture.json('/v1/files/top?recursive', { method: 'DELETE' });
    assert.deepEqual(second, { removed: 50 + 31, done: true });
    assert.deepEqual(await fixture.names(), []);
  });
});

describe('mkdir and rename', () => {
  const rename = (body: unknown): ReturnType<GatewayFixture['ask']> =>
    fixture.ask('/v1/rename', { method: 'POST', body: JSON.stringify(body) });

  it('mkdir makes one directory, or those on the way too', async () => {
    assert.equal(await status('/v1/mkdir/a/b', 'POST'), 404);
    assert.equal(await status('/v1/mkdir/a', 'POST'), 201);
    assert.equal(errorOf(await fixture.ask('/v1/mkdir/a', { method: 'POST' })).code, 'EEXIST');
    assert.equal(await status('/v1/mkdir/a/b/c/?parents', 'POST'), 201);
    assert.equal(await status('/v1/mkdir/a/b/c?parents', 'POST'), 200);
    assert.equal(await status('/v1/mkdir/', 'POST'), 409);
    await fixture.otherWrites('file', '');
    assert.equal(await status('/v1/mkdir/file?parents', 'POST'), 409);
  });

  it('rename moves, and replaces unless told not to', async () => {
    await fixture.put('one', '1');
    await fixture.put('d/two?parents', '2');
    const refused = await rename({ from: '/one', to: 'd/two', noReplace: true });
    assert.deepEqual(errorOf(refused).code, 'EEXIST');
    assert.equal((await rename({ from: 'one', to: '/d/two' })).status, 204);
    assert.equal(await fixture.otherReads('d/two'), '1');
    assert.deepEqual(await fixture.names(), ['d']);
    assert.equal((await rename({ from: 'd/', to: 'e/' })).status, 204);
    assert.equal(await fixture.otherReads('e/two'), '1');
  });

  it('rename refuses what makes no sense', async () => {
    await fixture.put('d/x?parents', 'x');
    const code = async (body: unknown): Promise<string> => errorOf(await rename(body)).code;
    assert.equal(await code({ from: 'absent', to: 'x' }), 'ENOENT');
    assert.equal(await code({ from: 'd', to: 'd/e' }), 'EINVAL');
    assert.equal(await code({ from: '/', to: 'x' }), 'EBUSY');
    assert.equal(await code({ from: 'd', to: '/' }), 'EBUSY');
    assert.equal(await code({ from: 'd/x', to: 'y/' }), 'ENOTDIR');
    assert.equal(await code({ from: '../d', to: 'x' }), 'BAD_PATH');
    assert.equal(await code({ from: 'd' }), 'BAD_REQUEST');
    assert.equal(await code({ from: 'd', to: 'e', force: true }), 'BAD_REQUEST');
    assert.equal(await code({ from: 'd', to: 'x'.repeat(GATEWAY_JSON_BYTES_MAX) }), 'TOO_LARGE');
    const text = await fixture.ask('/v1/rename', { method: 'POST', body: '{' });
    assert.equal(errorOf(text).code, 'BAD_REQUEST');
  });
});

describe('pages of other origins', () => {
  let shared: GatewayFixture;
  before(async () => {
    shared = await GatewayFixture.start({ hosts: ['Files.example'] });
    await shared.put('file', 'x');
  });
  after(() => shared.close());

  it('may not change anything', async () => {
    const own = `127.0.0.1:${shared.port}`;
    const put = async (headers: Record<string, string>): Promise<number> =>
      (await shared.put('file', 'y', headers)).status;
    assert.equal(await put({ origin: 'https://evil.example' }), 403);
    assert.equal(await put({ origin: 'null' }), 403);
    assert.equal(await put({ origin: 'http://127.0.0.1:1' }), 403);
    assert.equal(await put({ 'sec-fetch-site': 'cross-site' }), 403);
    assert.equal(await put({ 'sec-fetch-site': 'same-site' }), 403);
    assert.equal(await shared.otherReads('file'), 'x');
    for (const path of ['/v1/mkdir/d', '/v1/rename'])
      assert.equal(
        (await shared.ask(path, { method: 'POST', headers: { origin: 'http://evil.example' } })).status,
        403,
      );
    assert.equal(
      (await shared.ask('/v1/files/file', { method: 'DELETE', headers: { origin: 'http://x' } })).status,
      403,
    );
    assert.equal(await put({ origin: `http://${own}`, 'sec-fetch-site': 'same-origin' }), 204);
  });

  it('cannot come under a name of their own', async () => {
    const get = async (host: string): Promise<number> =>
      (await shared.ask('/v1/files/file', { headers: { host } })).status;
    assert.equal(await get('rebound.example:80'), 403);
    for (const host of ['localhost', 'LOCALHOST:80', '[::1]:80', '10.0.0.1', 'files.example:8080'])
      assert.equal(await get(host), 200, host);
  });
});
