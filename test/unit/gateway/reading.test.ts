import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type Ino, ROOT_INO } from '../../../src/base/ids.ts';
import { answerOf, errorOf, GatewayFixture } from '../../support/gateway-fixture.ts';
import { bytes, ROOT, settle } from '../../support/vfs-fixture.ts';

const CONTENT = 'The quick brown fox jumps over the lazy dog';

describe('GET of a file', () => {
  let fixture: GatewayFixture;
  before(async () => {
    fixture = await GatewayFixture.start();
    await fixture.otherWrites('fox.txt', CONTENT);
    await fixture.otherWrites('empty', '');
  });
  after(() => fixture.close());

  it('gives the content, its type, length, tag and time', async () => {
    const { status, headers, body } = await fixture.ask('/v1/files/fox.txt');
    assert.equal(status, 200);
    assert.equal(body.toString(), CONTENT);
    assert.equal(headers['content-type'], 'text/plain; charset=utf-8');
    assert.equal(headers['content-length'], String(CONTENT.length));
    assert.match(headers.etag ?? '', /^"[0-9a-f]+-[0-9a-f]+"$/);
    assert.equal(new Date(headers['last-modified'] ?? '').getUTCFullYear(), 2023);
    assert.equal(headers['accept-ranges'], 'bytes');
    assert.equal(headers['content-disposition'], undefined);
  });

  it('is harmless in a browser, whatever it is', async () => {
    await fixture.otherWrites('evil.html', '<script>alert(1)</script>');
    const { headers } = await fixture.ask('/v1/files/evil.html');
    assert.match(String(headers['content-security-policy']), /^sandbox; default-src 'none'/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
  });

  it('gives parts of it', async () => {
    const part = async (range: string): Promise<[number, string, string | undefined]> => {
      const { status, headers, body } = await fixture.ask('/v1/files/fox.txt', { headers: { range } });
      return [status, body.toString(), headers['content-range'] as string | undefined];
    };
    assert.deepEqual(await part('bytes=4-8'), [206, 'quick', 'bytes 4-8/43']);
    assert.deepEqual(await part('bytes=40-'), [206, 'dog', 'bytes 40-42/43']);
    assert.deepEqual(await part('bytes=-3'), [206, 'dog', 'bytes 40-42/43']);
    assert.deepEqual(await part('bytes=40-999'), [206, 'dog', 'bytes 40-42/43']);
    assert.deepEqual(await part('bytes=0-1,4-5'), [200, CONTENT, undefined]);
    assert.deepEqual((await part('bytes=43-'))[0], 416);
    assert.equal((await part('bytes=43-'))[2], 'bytes */43');
  });

  it('goes on with a part only if the file is still the same', async () => {
    const { headers } = await fixture.ask('/v1/files/fox.txt');
    const range = 'bytes=4-8';
    const same = await fixture.ask('/v1/files/fox.txt', {
      headers: { range, 'if-range': headers.etag ?? '' },
    });
    assert.equal(same.status, 206);
    const other = await fixture.ask('/v1/files/fox.txt', { headers: { range, 'if-range': '"1-1"' } });
    assert.equal(other.status, 200);
  });

  it('is not sent again to whoever has it', async () => {
    const { headers } = await fixture.ask('/v1/files/fox.txt');
    const [etag = '', date = ''] = [headers.etag, headers['last-modified']];
    const ask = async (conditions: Record<string, string>): Promise<number> =>
      (await fixture.ask('/v1/files/fox.txt', { headers: conditions })).status;
    assert.equal(await ask({ 'if-none-match': etag }), 304);
    assert.equal(await ask({ 'if-none-match': `"x", W/${etag}` }), 304);
    assert.equal(await ask({ 'if-none-match': '"x"' }), 200);
    assert.equal(await ask({ 'if-modified-since': date }), 304);
    assert.equal(await ask({ 'if-modified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' }), 200);
    assert.equal(await ask({ 'if-none-match': '"x"', 'if-modified-since': date }), 200);
    assert.equal(await ask({ 'if-match': etag }), 200);
    assert.equal(await ask({ 'if-match': '"x"' }), 412);
    assert.equal(await ask({ 'if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' }), 412);
  });

  it('with HEAD has the headers and no body', async () => {
    const { status, headers, body } = await fixture.ask('/v1/files/fox.txt', { method: 'HEAD' });
    assert.deepEqual([status, headers['content-length'], body.length], [200, '43', 0]);
    const absent = await fixture.ask('/v1/files/absent', { method: 'HEAD' });
    assert.deepEqual([absent.status, absent.body.length], [404, 0]);
  });

  it('of nothing has nothing', async () => {
    const { status, headers, body } = await fixture.ask('/v1/files/empty');
    assert.deepEqual([status, headers['content-length'], body.length], [200, '0', 0]);
    const part = await fixture.ask('/v1/files/empty', { headers: { range: 'bytes=0-' } });
    assert.equal(part.status, 416);
  });

  it('is to be saved if asked for', async () => {
    await fixture.otherWrites('a "b" ü.txt', 'x');
    const name = 'a%20%22b%22%20%C3%BC.txt';
    const { headers } = await fixture.ask(`/v1/files/${name}?download`);
    assert.equal(
      headers['content-disposition'],
      `attachment; filename="a _b_ _.txt"; filename*=UTF-8''${name}`,
    );
    assert.equal((await fixture.ask('/v1/files/fox.txt?download=maybe')).status, 400);
  });

  it('leaves nothing open, also when the client goes away in the middle', async () => {
    const size = 3 << 20;
    const put = await fixture.put('big', Buffer.alloc(size, 7));
    assert.equal(put.status, 201);
    const whole = await fixture.ask('/v1/files/big');
    assert.deepEqual([whole.body.length, whole.body.every((byte) => byte === 7)], [size, true]);
    const request = fixture.open('/v1/files/big');
    request.on('error', () => undefined);
    const closed = new Promise((resolve) => {
      request.once('response', (response) => {
        response.once('data', () => response.destroy());
        response.once('close', resolve);
        response.on('error', () => undefined);
      });
    });
    request.end();
    await closed;
    while (fixture.own.vfs.stats().handles > 0 || fixture.server.stats().inFlight > 0) await settle();
    assert.equal(fixture.gateway.context.downloads.used, 0);
    assert.equal(fixture.own.vfs.stats().knownInodes, 0);
  });

  it('is refused beyond so many at a time', async () => {
    const small = await GatewayFixture.start({ downloadsMax: 0 });
    await small.otherWrites('a', 'a');
    const answer = await small.ask('/v1/files/a');
    assert.deepEqual(
      [errorOf(answer).code, answer.status, answer.headers['retry-after']],
      ['BUSY', 503, '1'],
    );
    await small.close();
  });
});

describe('paths', () => {
  let fixture: GatewayFixture;
  before(async () => {
    fixture = await GatewayFixture.start();
    const { vfs } = fixture.other;
    const dir = (await vfs.mkdir(ROOT, ROOT_INO, bytes('dir'), 0o755)).ino as Ino;
    await fixture.otherWrites('inside', 'found', dir);
    const links: [string, string][] = [
      ['relative', 'dir/inside'],
      ['absolute', '/dir/inside'],
      ['dirlink', 'dir'],
      ['around', 'dir/../dir/./inside'],
      ['above', '../../../dir/inside'],
      ['self', 'self'],
      ['passwd', '/etc/passwd'],
    ];
    for (const [name, target] of links) await vfs.symlink(ROOT, ROOT_INO, bytes(name), bytes(target));
    let last = 'dir/inside';
    for (let i = 1; i <= 41; i++) {
      await vfs.symlink(ROOT, ROOT_INO, bytes(`chain${i}`), bytes(last));
      last = `chain${i}`;
    }
  });
  after(() => fixture.close());

  it('follow symbolic links within the tree', async () => {
    for (const path of ['relative', 'absolute', 'dirlink/inside', 'around', 'above', 'chain40']) {
      const { status, body } = await fixture.ask(`/v1/files/${path}`);
      assert.deepEqual([path, status, body.toString()], [path, 200, 'found']);
    }
  });

  it('do not follow them for ever, nor out of the tree', async () => {
    assert.deepEqual(errorOf(await fixture.ask('/v1/files/self')).code, 'ELOOP');
    assert.deepEqual(errorOf(await fixture.ask('/v1/files/chain41')).code, 'ELOOP');
    assert.deepEqual(errorOf(await fixture.ask('/v1/files/passwd')).code, 'ENOENT');
  });

  it('that could mean something else are refused', async () => {
    const bad = ['../x', 'dir/../dir/inside', 'dir//inside', './dir', '%2e%2E/x', 'a%00b', 'dir%2Finside'];
    for (const path of [...bad, 'a%', 'a%g0', '/etc', 'x'.repeat(256)]) {
      const answer = await fixture.ask(`/v1/files/${path}`);
      assert.deepEqual(errorOf(answer), { status: 400, code: 'BAD_PATH', path: `/v1/files/${path}` });
    }
  });

  it('say what is wrong with them', async () => {
    const code = async (path: string): Promise<unknown> => {
      const { status, code } = errorOf(await fixture.ask(path));
      return [status, code];
    };
    assert.deepEqual(await code('/v1/files/absent'), [404, 'ENOENT']);
    assert.deepEqual(await code('/v1/files/absent/x'), [404, 'ENOENT']);
    assert.deepEqual(await code('/v1/files/dir'), [409, 'EISDIR']);
    assert.deepEqual(await code('/v1/files/dir/inside/x'), [409, 'ENOTDIR']);
    assert.deepEqual(await code('/v1/files/dir/inside/'), [409, 'ENOTDIR']);
    assert.deepEqual(await code('/v1/list/dir/inside'), [409, 'ENOTDIR']);
    assert.deepEqual(await code('/nowhere'), [404, 'NOT_FOUND']);
    assert.deepEqual(await code('/v1/rename'), [405, 'METHOD_NOT_ALLOWED']);
    const post = await fixture.ask('/v1/files/dir', { method: 'POST' });
    assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD, PUT, DELETE']);
    const options = await fixture.ask('/v1/files/dir', { method: 'OPTIONS' });
    assert.deepEqual([options.status, options.headers['access-control-allow-origin']], [405, undefined]);
  });

  it('longer than any are refused', async () => {
    const { status } = await fixture.ask(`/v1/files/${'a/'.repeat(20_000)}`);
    assert.equal(status, 431);
    assert.equal((await fixture.ask(`/v1/files/${'a/'.repeat(8_000)}`)).status, 404);
  });
});

interface Listing {
  path: string;
  next: string | null;
  entries: { name: string; encoded: string; type: string; size: number; mode: string; target?: string }[];
}

describe('listings', () => {
  let fixture: GatewayFixture;
  before(async () => {
    fixture = await GatewayFixture.start();
    const { vfs } = fixture.other;
    const dir = (await vfs.mkdir(ROOT, ROOT_INO, bytes('a b'), 0o750)).ino as Ino;
    await fixture.otherWrites('one', '1', dir);
    await vfs.symlink(ROOT, dir, bytes('two'), bytes('one'));
    await vfs.mknod(ROOT, dir, Uint8Array.of(0xff, 0x25, 0x0a), 0o100600, 0);
  });
  after(() => fixture.close());

  it('tell of each entry', async () => {
    const listing = await fixture.json<Listing>('/v1/list/a%20b');
    assert.deepEqual([listing.path, listing.next], ['/a%20b', null]);
    assert.deepEqual(
      listing.entries.map(({ name, encoded, type, size, mode }) => [name, encoded, type, size, mode]),
      [
        ['one', 'one', 'file', 1, '0644'],
        ['two', 'two', 'symlink', 3, '0777'],
        ['�%\n', '%FF%25%0A', 'file', 0, '0600'],
      ],
    );
    assert.equal(listing.entries[1]?.target, 'one');
    assert.deepEqual(await fixture.json('/v1/files/a%20b/'), listing);
  });

  it('come in pages', async () => {
    const seen: string[] = [];
    let after = '';
    for (;;) {
      const page = await fixture.json<Listing>(`/v1/list/a%20b?limit=1${after}`);
      seen.push(...page.entries.map(({ encoded }) => encoded));
      if (page.next === null) break;
      assert.equal(page.entries.length, 1);
      after = `&after=${encodeURIComponent(page.next)}`;
    }
    assert.deepEqual(seen, ['one', 'two', '%FF%25%0A']);
    for (const query of ['limit=0', 'limit=x', 'limit=100000', 'after=%25g', 'after=..'])
      assert.equal((await fixture.ask(`/v1/list/a%20b?${query}`)).status, 400, query);
  });

  it('of the root, and of nothing', async () => {
    for (const path of ['/v1/list/', '/v1/files/']) {
      const { entries } = await fixture.json<Listing>(path);
      assert.deepEqual(
        entries.map(({ encoded, type, mode }) => [encoded, type, mode]),
        [['a%20b', 'directory', '0750']],
      );
    }
  });

  it('names that are not UTF-8 are read, written and removed by their bytes', async () => {
    const path = 'a%20b/%fe%FF';
    assert.equal((await fixture.put(path, 'raw')).status, 201);
    assert.equal((await fixture.ask(`/v1/files/${path}`)).body.toString(), 'raw');
    const stat = await fixture.json<{ encoded: string; path: string }>(`/v1/stat/${path}`);
    assert.deepEqual([stat.encoded, stat.path], ['%FE%FF', '/a%20b/%FE%FF']);
    const { encoded } = stat;
    const body = JSON.stringify({ from: `/a%20b/${encoded}`, to: '/a%20b/%FD' });
    assert.equal((await fixture.ask('/v1/rename', { method: 'POST', body })).status, 204);
    assert.equal((await fixture.ask('/v1/files/a%20b/%FD', { method: 'DELETE' })).status, 204);
    assert.equal((await fixture.ask('/v1/files/a%20b/%FD')).status, 404);
  });

  it('stat tells of a link, not of where it leads', async () => {
    const link = await fixture.json<{ type: string; target: string }>('/v1/stat/a%20b/two');
    assert.deepEqual([link.type, link.target], ['symlink', 'one']);
    const root = await fixture.json<{ type: string; ino: number; path: string }>('/v1/stat/');
    assert.deepEqual([root.type, root.ino, root.path], ['directory', 1, '/']);
  });
});

describe('what is not of the tree', () => {
  it('is told while the tree cannot be', async () => {
    const fixture = await GatewayFixture.start();
    fixture.gateway.serve(undefined);
    fixture.health = { status: 'starting', detail: 'no leader' };
    const health = await fixture.ask('/healthz');
    assert.deepEqual([health.status, health.body.toString()], [503, 'starting: no leader\n']);
    assert.deepEqual(errorOf(await fixture.ask('/v1/list/')), {
      status: 503,
      code: 'EAGAIN',
      path: '/v1/list/',
    });
    assert.equal((await fixture.json<{ health: string }>('/v1/cluster')).health, 'ok');
    fixture.health = { status: 'ok', detail: '' };
    assert.deepEqual((await fixture.ask('/healthz')).status, 200);
    await fixture.close();
  });

  it('a request under way is answered before the server is gone', async () => {
    const fixture = await GatewayFixture.start();
    const request = fixture.open('/v1/files/slow', { method: 'PUT' });
    const answer = answerOf(request);
    request.write('first ');
    while (fixture.gateway.context.uploads.used === 0) await settle();
    const closed = fixture.close();
    request.end('second');
    assert.equal((await answer).status, 201);
    await closed;
    assert.equal(await fixture.otherReads('slow'), 'first second');
    await assert.rejects(fixture.ask('/v1/list/'), { code: 'ECONNREFUSED' });
  });
});
