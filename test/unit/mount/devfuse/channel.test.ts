import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPool } from '../../../../mount/devfuse/buffer-pool.ts';
import { Channel } from '../../../../mount/devfuse/channel.ts';
import type { Device } from '../../../../mount/devfuse/device.ts';
import { InvalidationQueue } from '../../../../mount/devfuse/invalidation-queue.ts';
import { REQUESTS_IN_FLIGHT_MAX, WRITE_BUFFERS_MAX } from '../../../../mount/devfuse/limits.ts';
import type { Ino } from '../../../../src/base/ids.ts';
import { lineLogger } from '../../../support/mount-logger.ts';

function failure(code: string): Error {
  return Object.assign(new Error(code), { code });
}

/** Gives out requests and errors in order; then ENODEV. */
class ScriptedDevice implements Device {
  readonly #script: (Buffer | Error)[];
  readonly written: Buffer[] = [];
  readonly notices: Uint8Array[] = [];
  writeError: Error | undefined;
  reads = 0;
  readonly reader: Device['reader'];

  /** `polled`: by the event loop. */
  constructor(script: (Buffer | Error)[], polled = false) {
    this.#script = script;
    if (polled) this.reader = { run: (buffer, onRequest) => this.#run(buffer, onRequest) };
  }

  async #run(buffer: Buffer, onRequest: (length: number) => Buffer | undefined): Promise<void> {
    let next: Buffer | undefined = buffer;
    while (next !== undefined) next = onRequest(await this.read(next));
  }

  async read(buffer: Buffer): Promise<number> {
    this.reads++;
    const next = this.#script.shift() ?? failure('ENODEV');
    if (next instanceof Error) throw next;
    return next.copy(buffer);
  }

  writeReply(pieces: readonly Uint8Array[]): void {
    if (this.writeError !== undefined) throw this.writeError;
    this.written.push(Buffer.concat(pieces));
  }

  async writeNotice(notice: Uint8Array): Promise<void> {
    if (this.writeError !== undefined) throw this.writeError;
    this.notices.push(notice);
  }

  close(): void {}
}

function channelOn(device: Device, log: string[] = []): Channel {
  const logger = lineLogger('trace', (line) => log.push(line));
  return new Channel({ device, logger }, { readers: 1, requestBytesMax: 65_536 });
}

describe('Channel', () => {
  it('reads on after interrupted reads, and ends with the connection', async () => {
    const device = new ScriptedDevice([
      failure('EINTR'),
      Buffer.from('a'),
      failure('ENOENT'),
      failure('EAGAIN'),
      Buffer.from('b'),
    ]);
    const log: string[] = [];
    const channel = channelOn(device, log);
    const seen: string[] = [];
    const outcome = await channel.run((request, done) => {
      seen.push(request.toString());
      done();
    });
    assert.equal(outcome, 'ended');
    assert.deepEqual(seen, ['a', 'b']);
    assert.equal(channel.ended, true);
    assert.deepEqual(log, []);
  });

  it('ends and logs when the device fails', async () => {
    const log: string[] = [];
    // The script has one failure; what follows would be the regular end.
    const outcome = await channelOn(new ScriptedDevice([failure('EIO')]), log).run(() => {});
    assert.equal(outcome, 'failed');
    assert.equal(log.length, 1);
  });

  it('ends with the connection when the event loop reads', async () => {
    for (const code of ['ENODEV', 'ECONNABORTED', 'ENOENT']) {
      const log: string[] = [];
      const device = new ScriptedDevice([Buffer.from('a'), failure(code), Buffer.from('b')], true);
      const outcome = await channelOn(device, log).run((_request, done) => done());
      assert.equal(outcome, 'ended');
      assert.equal(device.reads, 2);
      assert.deepEqual(log, []);
    }
    const log: string[] = [];
    const broken = new ScriptedDevice([failure('EIO')], true);
    assert.equal(await channelOn(broken, log).run(() => {}), 'failed');
    assert.equal(log.length, 1);
  });

  it('knows replies that nobody waits for', () => {
    const device = new ScriptedDevice([]);
    const log: string[] = [];
    const channel = channelOn(device, log);
    assert.equal(channel.reply([Buffer.from('ok')]), 'delivered');
    for (const code of ['ENOENT', 'ENODEV']) {
      device.writeError = failure(code);
      assert.equal(channel.reply([Buffer.from('late')]), 'unwanted');
    }
    assert.deepEqual(log, []);
    device.writeError = failure('EINVAL');
    assert.equal(channel.reply([Buffer.from('wrong')]), 'refused');
    assert.equal(log.length, 1);
  });

  it('joins a reply of too many pieces', () => {
    const device = new ScriptedDevice([]);
    const pieces = Array.from({ length: 3000 }, (_, i) => Buffer.from([i & 0xff]));
    assert.equal(channelOn(device).reply(pieces), 'delivered');
    assert.deepEqual(device.written, [Buffer.concat(pieces)]);
  });
});

for (const polled of [false, true]) {
  describe(`Channel, read by ${polled ? 'the event loop' : 'threads'}`, () => {
    it('does not read over a request that is still in use', async () => {
      const [first, second] = [Buffer.alloc(20_000, 'a'), Buffer.alloc(20_000, 'b')];
      const small = Buffer.from('small');
      const held: { request: Buffer; done: () => void }[] = [];
      await channelOn(new ScriptedDevice([first, small, second], polled)).run((request, done) =>
        held.push({ request, done }),
      );
      assert.deepEqual(
        held.map(({ request }) => request.subarray(0, 5).toString()),
        ['aaaaa', 'small', 'bbbbb'],
      );
      for (const { done } of held) done();
      assert.throws(() => held[0]!.done(), /once/);
    });

    it('pauses at the limit of requests being answered', async () => {
      const script = Array.from({ length: REQUESTS_IN_FLIGHT_MAX + 10 }, () => Buffer.from('x'));
      const device = new ScriptedDevice(script, polled);
      const pending: (() => void)[] = [];
      let reached = (): void => {};
      const full = new Promise<void>((resolve) => {
        reached = resolve;
      });
      const running = channelOn(device).run((_request, done) => {
        pending.push(done);
        if (pending.length === REQUESTS_IN_FLIGHT_MAX) reached();
      });
      await full;
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(pending.length, REQUESTS_IN_FLIGHT_MAX);
      for (const done of pending.splice(0)) done();
      await running;
      assert.equal(pending.length, 10);
    });
  });
}

describe('BufferPool', () => {
  it('reuses buffers and waits at its limit', async () => {
    const pool = new BufferPool({ sizeBytes: 8, outMax: 2, idleMax: 1 });
    const [a, b] = [await pool.take(), await pool.take()];
    let third: Buffer | undefined;
    const waiting = Promise.resolve(pool.take()).then((buffer) => {
      third = buffer;
    });
    await Promise.resolve();
    assert.equal(third, undefined);
    pool.give(a);
    await waiting;
    assert.equal(third, a);
    pool.give(b);
    assert.equal(await pool.take(), b);
    assert.equal(pool.out, 2);
    assert.throws(() => pool.give(Buffer.alloc(9)), /pool/);
  });

  it('has room for more writes than requests arrive on the kernel’s own account', () => {
    assert.ok(WRITE_BUFFERS_MAX >= 64);
  });
});

describe('InvalidationQueue', () => {
  it('sends one after another, several for one inode as one', async () => {
    const sent: [number, boolean][] = [];
    let release = (): void => {};
    const channel = {
      ended: false,
      notify: (notice: Uint8Array): Promise<void> => {
        const bytes = Buffer.from(notice);
        sent.push([Number(bytes.readBigUInt64LE(16)), bytes.readBigInt64LE(24) === 0n]);
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    };
    const queue = new InvalidationQueue({ channel });
    const of = (ino: number, data: boolean) => ({ ino: ino as Ino, data });
    queue.push([of(1, false), of(2, true)]);
    queue.push([of(2, false), of(3, false), of(3, true), of(1, false)]);
    for (let i = 0; i < 4; i++) {
      assert.equal(sent.length, i + 1);
      release();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await queue.idle();
    assert.deepEqual(sent, [
      [1, false],
      [2, true],
      [3, true],
      [1, false],
    ]);
  });
});
