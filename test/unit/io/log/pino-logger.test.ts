import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FsError } from '../../../../src/base/errno.ts';
import { createLogger, type LogOptions } from '../../../../src/io/log/pino-logger.ts';

describe('the log', () => {
  let dir = '';
  let fd = -1;
  const file = (): string => path.join(dir, 'log');
  const text = (): string => readFileSync(file(), 'utf8');
  const lines = (): Record<string, unknown>[] =>
    text()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const logger = (options: Partial<LogOptions> = {}) =>
    createLogger({ level: 'info', format: 'json', fd, ...options });

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'ringfs-log-'));
    fd = openSync(file(), 'a');
  });
  afterEach(() => {
    closeSync(fd);
    rmSync(dir, { recursive: true });
  });

  it('is JSON lines with time, level, base and own fields, there at once', () => {
    const log = logger({ base: { server: 's1', pid: 7 } });
    log.info({ address: 'h:1' }, 'serving');
    log.child({ term: 3 }).warn({ index: 4 }, 'behind');
    const [first, second] = lines();
    assert.match(String(first?.['time']), /^\d{4}-\d\d-\d\dT.*Z$/);
    delete first?.['time'];
    delete second?.['time'];
    assert.deepEqual(first, { level: 'info', server: 's1', pid: 7, address: 'h:1', msg: 'serving' });
    assert.deepEqual(second, { level: 'warn', server: 's1', pid: 7, term: 3, index: 4, msg: 'behind' });
  });

  it('leaves out what is below its level', () => {
    const log = logger({ level: 'warn' });
    log.debug({}, 'no');
    log.info({}, 'no');
    log.warn({}, 'yes');
    log.fatal({}, 'yes');
    assert.deepEqual(
      lines().map(({ level, msg }) => [level, msg]),
      [
        ['warn', 'yes'],
        ['fatal', 'yes'],
      ],
    );
    logger({ level: 'silent' }).fatal({}, 'no');
    assert.equal(lines().length, 2);
  });

  it('tells errors with type, message, stack, code and cause', () => {
    const cause = new Error('disk on fire');
    const error = new FsError('EIO', 'cannot write', { cause });
    logger().error({ err: error, cause, error }, 'failed');
    const [line] = lines() as [Record<'err' | 'error' | 'cause', Record<string, string>>];
    for (const told of [line.err, line.error]) {
      assert.match(String(told['message']), /cannot write.*disk on fire/);
      assert.match(String(told['stack']), /cannot write[\s\S]*pino-logger\.test[\s\S]*disk on fire/);
      assert.equal(told['code'], 'EIO');
    }
    assert.equal(line.cause['message'], 'disk on fire');
  });

  it('takes whatever a field may be', () => {
    const circular: Record<string, unknown> = { big: 10n ** 20n, none: undefined, error: 'a string' };
    circular['self'] = circular;
    logger().info(circular, 'odd');
    assert.equal(lines()[0]?.['msg'], 'odd');
    assert.equal(lines()[0]?.['error'], 'a string');
  });

  it('is for people when asked to, without colours in a file', () => {
    logger({ format: 'pretty', base: { server: 's1' } }).warn({ term: 3 }, 'a leader went');
    assert.match(text(), /WARN.*: a leader went .*"term":3/);
    assert.ok(!text().includes('\u001b'));
    logger({ format: 'auto' }).info({}, 'json');
    assert.match(text(), /^\{.*"msg":"json"\}$/m);
  });

  for (const format of ['json', 'pretty'] as const) {
    it(`costs nothing but the lines when the disk is full (${format})`, {
      skip: !existsSync('/dev/full'),
    }, () => {
      const full = openSync('/dev/full', 'w');
      const log = createLogger({ level: 'info', format, fd: full });
      for (let i = 0; i < 100; i++) log.info({ i, text: 'x'.repeat(100_000) }, 'lost');
      closeSync(full);
    });
  }
});
