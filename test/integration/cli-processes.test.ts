import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { environment, freePorts, RINGFS_MAIN, ringfs } from '../support/test-cluster.ts';

/** One ringfs process: what it prints, and how it ends. */
class Running {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  readonly exited: Promise<number | null>;
  stdout = '';
  stderr = '';
  #wake: () => void = () => {};

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [RINGFS_MAIN, ...args], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout.on('data', (chunk: Buffer) => {
      this.stdout += chunk.toString();
      this.#wake();
    });
    this.child.stderr.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
      this.#wake();
    });
    this.exited = new Promise((resolve) => this.child.once('close', resolve));
    void this.exited.then(() => this.#wake());
  }

  /** Waits until it has printed this. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      if (found !== null) return found;
      assert.equal(this.child.exitCode, null, `it ended:\n${this.stdout}${this.stderr}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

describe('ringfs processes', () => {
  let dir = '';
  const running: Running[] = [];
  const start = (...args: string[]): Running => {
    const process = new Running(...args);
    running.push(process);
    return process;
  };
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'ringfs-cli-'));
  });
  afterEach(async () => {
    for (const process of running.splice(0)) {
      process.child.kill('SIGKILL');
      await process.exited;
    }
    rmSync(dir, { recursive: true });
  });

  const serverArgs = (port: number): string[] => [
    ...['server', '--id', 's1', '--listen', `127.0.0.1:${port}`, '--peers', `s1=127.0.0.1:${port}`],
    ...['--data', path.join(dir, 's1'), '--log-format', 'json'],
  ];

  it('a command ends when it has answered, also while it still connects to a machine that drops all packets', async () => {
    // A listener that accepts nothing: what does not fit into its queue is dropped, as by a machine that is gone.
    const program =
      "require('net').createServer().listen(0, '127.0.0.1', 1, function () { console.log(this.address().port) })";
    const deaf = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    const sockets: net.Socket[] = [];
    try {
      const [line] = (await once(deaf.stdout, 'data')) as [Buffer];
      deaf.kill('SIGSTOP');
      const port = Number(line.toString());
      const connect = (): Promise<string> => {
        const socket = net.connect(port, '127.0.0.1');
        sockets.push(socket);
        socket.on('error', () => {});
        return new Promise((resolve) => socket.once('close', () => resolve('the connection was given up')));
      };
      const filling = Array.from({ length: 4 }, connect);
      const status = start('status', `127.0.0.1:${port}`);
      // The kernel gives up a connection that began before sooner than any that the command begins.
      assert.equal(await Promise.race([status.exited, ...filling]), 1);
      assert.match(status.stderr, /no server answers/);
    } finally {
      deaf.kill('SIGKILL');
      for (const socket of sockets) socket.destroy();
    }
  });

  it('a server prints one line when it is ready, listens where it was told to, and ends with SIGTERM', async () => {
    const port = await freePorts(1);
    const server = start(...serverArgs(port));
    await server.prints(/^ready: server s1 \(meta, block\) listens on 127\.0\.0\.1:\d+$/m);
    assert.equal(server.stdout.trim().split('\n').length, 1);
    const refused = new Promise<string>((resolve) => {
      const socket = net.connect(port, '127.0.0.2');
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      socket.on('connect', () => resolve('connected'));
    });
    assert.equal(await refused, 'ECONNREFUSED');
    const second = ringfs(...serverArgs(port));
    assert.equal(second.status, 1);
    assert.equal(ringfs('status', `127.0.0.1:${port}`).status, 0);
    server.child.kill('SIGTERM');
    assert.equal(await server.exited, 0);
    assert.match(server.stderr, /"reason":"SIGTERM".*stopping/);
  });

  it('a server that is told to end while it starts, ends', async () => {
    const server = start(...serverArgs(await freePorts(1)));
    // The handlers are there when the data directory is claimed; the databases are opened after that.
    while (!existsSync(path.join(dir, 's1', 'ringfs.json')) && server.child.exitCode === null)
      await new Promise((resolve) => setImmediate(resolve));
    server.child.kill('SIGTERM');
    assert.equal(await server.exited, 0);
  });

  it('a mount that is told to end while it looks for servers, ends', async () => {
    const silent = net.createServer();
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const connected = new Promise<void>((resolve) => silent.once('connection', () => resolve()));
    const { port } = silent.address() as net.AddressInfo;
    try {
      const point = path.join(dir, 'mnt');
      mkdirSync(point);
      const mount = start('mount', `127.0.0.1:${port}`, point, '-f', '-o', 'timeout=3600');
      await connected;
      mount.child.kill('SIGINT');
      assert.equal(await mount.exited, 1);
      assert.match(mount.stderr, /^ringfs: stopped by SIGINT before it was mounted$/m);
    } finally {
      silent.close();
    }
  });

  it('up says which server could not start, and why', async () => {
    const base = String(await freePorts(1));
    const broken = path.join(dir, 's1');
    mkdirSync(broken);
    writeFileSync(path.join(broken, 'ringfs.json'), 'no JSON');
    const up = ringfs('up', '--nodes', '1', '--data', dir, '--base-port', base);
    assert.equal(up.status, 1);
    assert.match(up.stderr, /^ringfs: server s1: .*ringfs\.json is damaged/m);
    assert.ok(!existsSync(path.join(dir, 'run.json')));
  });

  it('up shows the end of the log of a server that dies at its start', async () => {
    const base = String(await freePorts(1));
    const up = start('up', '--nodes', '1', '--data', dir, '--base-port', base);
    const pid = await untilServerRuns();
    process.kill(pid, 'SIGKILL');
    assert.equal(await up.exited, 1);
    assert.match(up.stderr, /^ringfs: server s1: ended with SIGKILL before it was ready:/m);
    assert.match(up.stderr, /its log is .*s1\.log/);
  });

  it('up that is interrupted while it starts leaves nothing behind', async () => {
    const up = start('up', '--nodes', '1', '--data', dir, '--base-port', String(await freePorts(1)));
    const pid = await untilServerRuns();
    up.child.kill('SIGINT');
    assert.equal(await up.exited, 1);
    assert.match(up.stderr, /^ringfs: stopped by SIGINT before it was ready$/m);
    assert.throws(() => process.kill(pid, 0));
    assert.ok(!existsSync(path.join(dir, 'run.json')));
  });

  /** The id of the server process that `up` has started and recorded. */
  async function untilServerRuns(): Promise<number> {
    for (;;) {
      const file = path.join(dir, 'run.json');
      if (existsSync(file)) {
        const run = JSON.parse(readFileSync(file, 'utf8')) as { servers: { pid: number }[] };
        if (run.servers[0] !== undefined && run.servers[0].pid > 0) return run.servers[0].pid;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
});
