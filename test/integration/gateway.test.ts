import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { defined } from '../../src/base/assert.ts';
import {
  environment,
  freePorts,
  RINGFS_MAIN,
  ringfs,
  type StatusJson,
  sha256,
  TestCluster,
  until,
} from '../support/test-cluster.ts';

const MIB = 2 ** 20;
const hashOf = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

describe('a gateway beside a mount', () => {
  let cluster: TestCluster;
  let port = 0;
  let base = '';
  before(async () => {
    port = await freePorts(1);
    base = `http://127.0.0.1:${port}`;
    cluster = await TestCluster.start('--http-port', String(port));
  });
  after(() => cluster.remove());

  const put = (name: string, body: Uint8Array | string): Promise<Response> =>
    fetch(`${base}/v1/files/${name}`, { method: 'PUT', body });

  /** An upload whose pieces are written one by one. */
  const begin = (name: string, length: number): ClientRequest =>
    httpRequest(`${base}/v1/files/${name}`, {
      method: 'PUT',
      headers: { 'content-length': String(length) },
      agent: false,
    });

  const send = (request: ClientRequest, data: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      request.write(data, (error) => (error == null ? resolve() : reject(error)));
    });

  it('is told of with the address', () => {
    assert.match(cluster.readyLine, new RegExp(`http://127\\.0\\.0\\.1:${port}$`));
  });

  it('and the mount see at once what the other one has done', async () => {
    assert.equal((await put('a/b.txt?parents', 'through the gateway')).status, 201);
    assert.equal(readFileSync(cluster.path('a', 'b.txt'), 'utf8'), 'through the gateway');
    writeFileSync(cluster.path('a', 'b.txt'), 'through the mount');
    const got = await fetch(`${base}/v1/files/a/b.txt`);
    assert.equal(await got.text(), 'through the mount');
    const raw = Buffer.concat([Buffer.from(cluster.path('a')), Buffer.from('/\xff name', 'latin1')]);
    writeFileSync(raw, 'bytes');
    assert.equal(await (await fetch(`${base}/v1/files/a/%FF%20name`)).text(), 'bytes');
    const removed = await fetch(`${base}/v1/files/a?recursive`, { method: 'DELETE' });
    assert.deepEqual(await removed.json(), { removed: 3, done: true });
    assert.deepEqual(readdirSync(cluster.mount), []);
  });

  it('carries large files both ways', async () => {
    const data = randomBytes(64 * MIB);
    const digest = createHash('sha256').update(data).digest('base64');
    const answer = await fetch(`${base}/v1/files/up`, {
      method: 'PUT',
      body: data,
      headers: { 'content-digest': `sha-256=:${digest}:` },
    });
    assert.equal(answer.status, 201);
    assert.equal(sha256(cluster.path('up')), hashOf(data));
    writeFileSync(cluster.path('down'), data.reverse(), { flush: true });
    const down = await fetch(`${base}/v1/files/down`);
    assert.equal(down.headers.get('content-length'), String(data.length));
    assert.equal(hashOf(new Uint8Array(await down.arrayBuffer())), hashOf(data));
    const part = await fetch(`${base}/v1/files/down`, { headers: { range: `bytes=${40 * MIB}-` } });
    assert.equal(part.status, 206);
    assert.equal(hashOf(new Uint8Array(await part.arrayBuffer())), hashOf(data.subarray(40 * MIB)));
  });

  it('completes an upload during which the leader dies', async () => {
    const data = randomBytes(32 * MIB);
    const { pid, id } = await cluster.leader();
    const request = begin('survivor', data.length);
    const response = once(request, 'response') as Promise<[IncomingMessage]>;
    await send(request, data.subarray(0, 16 * MIB));
    process.kill(defined(pid ?? undefined, 'the pid of the leader'), 'SIGKILL');
    await send(request, data.subarray(16 * MIB));
    request.end();
    const [{ statusCode, headers }] = await response;
    assert.equal(statusCode, 201);
    assert.equal(sha256(cluster.path('survivor')), hashOf(data));
    const got = await fetch(`${base}/v1/files/survivor`);
    assert.equal(got.headers.get('etag'), headers.etag);
    assert.equal(hashOf(new Uint8Array(await got.arrayBuffer())), hashOf(data));
    const { servers } = await cluster.healthy();
    assert.ok(servers.some((server) => server.id === id));
  });

  it('leaves the old content when an upload is broken off', async () => {
    writeFileSync(cluster.path('kept'), 'old content');
    const names = readdirSync(cluster.mount);
    const request = begin('kept', 64 * MIB);
    request.on('error', () => undefined);
    await send(request, randomBytes(16 * MIB));
    assert.equal(readFileSync(cluster.path('kept'), 'utf8'), 'old content');
    request.destroy();
    await until('the next upload of the same name is done', async () => {
      const answer = await fetch(`${base}/v1/files/other`, { method: 'PUT', body: 'x' });
      return answer.ok;
    });
    assert.equal(readFileSync(cluster.path('kept'), 'utf8'), 'old content');
    assert.deepEqual(readdirSync(cluster.mount).sort(), [...names, 'other'].sort());
  });

  it('says of the cluster what ringfs status says, and is healthy', async () => {
    const told = (await (await fetch(`${base}/v1/cluster`)).json()) as StatusJson;
    const { health, leader, servers } = cluster.status();
    assert.deepEqual(
      [told.health, told.leader, told.servers.map(({ id, roles }) => [id, roles])],
      [health, leader, servers.map(({ id, roles }) => [id, roles])],
    );
    const healthz = await fetch(`${base}/healthz`);
    assert.deepEqual([healthz.status, await healthz.text()], [200, 'ok\n']);
  });

  it('has a web page that may run nothing but its own script', async () => {
    const page = await fetch(base);
    const html = await page.text();
    const policy = page.headers.get('content-security-policy') ?? '';
    assert.match(policy, /default-src 'none'; script-src 'self'/);
    assert.doesNotMatch(html, /<script(?![^>]* src="\/)|\son\w+=|style=|https?:/);
    const assets = [...html.matchAll(/(?:src|href)="(\/[^"]+)"/g)].map(([, url]) => url);
    assert.deepEqual(assets, ['/app.css', '/app.js']);
    for (const url of [...assets, '/dom.js', '/files.js', '/cluster.js']) {
      const asset = await fetch(`${base}${url}`);
      const text = await asset.text();
      assert.match(asset.headers.get('content-type') ?? '', /^text\/(css|javascript)/, url);
      assert.doesNotMatch(text, /innerHTML|insertAdjacentHTML|document\.write|eval\(/, url);
      for (const [, module] of text.matchAll(/from '\.(\/[^']+)'/g))
        assert.equal((await fetch(`${base}${module}`)).status, 200, module);
    }
  });
});

describe('a server that is a gateway too', () => {
  it('is a cluster with HTTP in one process', async () => {
    const data = mkdtempSync(path.join(tmpdir(), 'ringfs-gateway-'));
    const port = await freePorts(2);
    const [listen, http] = [`127.0.0.1:${port}`, `127.0.0.1:${port + 1}`];
    const args = ['server', '--id', 'all', '--roles', 'meta,block,gateway', '--listen', listen];
    const more = ['--peers', `all=${listen}`, '--replicas', '1', '--data', data, '--http-listen', http];
    const owner = ['--http-uid', '1234', '--http-gid', '567', '--log-level', 'warn'];
    const child = spawn(process.execPath, [RINGFS_MAIN, ...args, ...more, ...owner], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: environment(),
    });
    try {
      const [line] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string];
      assert.match(line, new RegExp(`^ready: .*\\(meta, block, gateway\\).* and serves http://${http}`));
      const base = `http://${http}`;
      await until('it serves its own cluster', async () => (await fetch(`${base}/healthz`)).ok);
      const put = await fetch(`${base}/v1/files/file`, { method: 'PUT', body: randomBytes(MIB) });
      assert.equal(put.status, 201);
      const stat = (await (await fetch(`${base}/v1/stat/file`)).json()) as Record<string, unknown>;
      assert.deepEqual([stat['size'], stat['uid'], stat['gid']], [MIB, 1234, 567]);
      const { stdout } = ringfs('status', listen, '--json');
      assert.deepEqual((JSON.parse(stdout) as StatusJson).servers[0]?.roles, ['meta', 'block', 'gateway']);
    } finally {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [0, null]);
      rmSync(data, { recursive: true });
    }
  });
});

describe('a gateway that is called wrongly', () => {
  const server = (...args: string[]): { status: number | null; stderr: string } =>
    ringfs('server', '--log-level', 'silent', ...args);
  const refused = (expected: number, message: RegExp, ...args: string[]): void => {
    const { status, stderr } = server(...args);
    assert.deepEqual([status, message.test(stderr)], [expected, true], stderr);
  };
  const gateway = ['--id', 'g1', '--roles', 'gateway'];

  it('says what is missing or does not fit', () => {
    refused(2, /--servers is missing\n.*--servers HOST:PORT/, ...gateway);
    refused(2, /--id is missing/, '--roles', 'gateway', '--servers', 'h:1');
    refused(2, /--servers: 'h' is not an address/, ...gateway, '--servers', 'h');
    refused(2, /--http-uid: '-1' is not a whole number/, ...gateway, '--servers', 'h:1', '--http-uid=-1');
    refused(
      2,
      /--http-hosts: 'a:80' is not a host name/,
      ...gateway,
      '--servers',
      'h:1',
      '--http-hosts',
      'a:80',
    );
    refused(2, /no role 'web'\n.*meta, block, gateway/, '--id', 'g1', '--roles', 'web');
    const member = [
      '--id',
      's1',
      '--listen',
      '127.0.0.1:1',
      '--data',
      '/nowhere',
      '--peers',
      's1=127.0.0.1:1',
    ];
    refused(2, /--http-listen is for the role gateway\n.*--roles/, ...member, '--http-listen', 'h:1');
  });

  it('names a port that is taken', async () => {
    const other = createServer();
    const port = await freePorts(1);
    await new Promise<void>((resolve) => other.listen({ host: '127.0.0.1', port }, resolve));
    try {
      const taken = `127.0.0.1:${port}`;
      const message = new RegExp(
        `cannot listen on ${taken} for HTTP: another process uses the port\n.*--http-listen`,
      );
      refused(1, message, ...gateway, '--servers', '127.0.0.1:1', '--http-listen', taken);
      const data = mkdtempSync(path.join(tmpdir(), 'ringfs-gateway-'));
      const ports = String(await freePorts(3));
      const up = ringfs('up', '--data', data, '--base-port', ports, '--http-port', String(port));
      assert.equal(up.status, 1);
      assert.match(up.stderr, /port \d+ for the gateway is in use\n.*--http-port/);
      rmSync(data, { recursive: true });
    } finally {
      other.close();
    }
  });

  it('is ended while it looks for a cluster, and says that it is not healthy until then', async () => {
    const port = await freePorts(2);
    const [http, nobody] = [`127.0.0.1:${port}`, `127.0.0.1:${port + 1}`];
    const args = [RINGFS_MAIN, 'server', ...gateway, '--servers', nobody, '--http-listen', http];
    const child = spawn(process.execPath, [...args, '--log-level', 'silent'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: environment(),
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    const exited = once(child, 'exit');
    const health = await until('it listens', () => fetch(`http://${http}/healthz`).catch(() => undefined));
    assert.equal(health.status, 503);
    assert.equal(await health.text(), `starting: looks for the cluster at ${nobody}\n`);
    const list = await fetch(`http://${http}/v1/list/`);
    assert.equal(list.status, 503);
    child.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
    assert.equal(stdout, '');
  });
});
