import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseMountOptions } from '../../../src/cli/commands/mount.ts';
import { cliError } from '../../support/cli-errors.ts';

const DEFAULTS = {
  driver: 'auto',
  cacheBytes: 256 << 20,
  timeoutMs: 30_000,
  allowOther: true,
  readOnly: false,
  noSuid: false,
  noDev: false,
  noExec: false,
  locks: 'cluster',
  followers: 'on',
  log: undefined,
  logLevel: 'info',
  logFormat: 'auto',
  metricsListen: undefined,
};

describe('mount options', () => {
  it('have defaults', () => assert.deepEqual(parseMountOptions(''), DEFAULTS));

  it('are all read', () => {
    const text =
      'driver=devfuse,cache=1G,timeout=5,noallow_other,ro,nosuid,nodev,noexec,locks=local,followers=off,log=a/b.log,log_level=debug,log_format=json,metrics_listen=[::1]:7480';
    assert.deepEqual(parseMountOptions(text), {
      driver: 'devfuse',
      cacheBytes: 1 << 30,
      timeoutMs: 5000,
      allowOther: false,
      readOnly: true,
      noSuid: true,
      noDev: true,
      noExec: true,
      locks: 'local',
      followers: 'off',
      log: path.resolve('a/b.log'),
      logLevel: 'debug',
      logFormat: 'json',
      metricsListen: '[::1]:7480',
    });
  });

  it('may contain what fstab(5) gives to every file system', () => {
    const text =
      'defaults,rw,suid,dev,exec,async,auto,nouser,noatime,nodiratime,relatime,_netdev,x-systemd.automount,x-foo=bar,comment=mine,,nofail';
    assert.deepEqual(parseMountOptions(text), DEFAULTS);
  });

  it('take the last of several values', () => {
    assert.equal(parseMountOptions('timeout=5,timeout=6').timeoutMs, 6000);
    assert.equal(parseMountOptions('noallow_other,allow_other').allowOther, true);
  });

  it('mean what they mean to mount(8)', () => {
    const all = { readOnly: true, noSuid: true, noDev: true, noExec: true };
    assert.deepEqual(parseMountOptions('ro,user'), { ...DEFAULTS, ...all });
    assert.deepEqual(parseMountOptions('user,exec,suid'), { ...DEFAULTS, noDev: true });
    assert.deepEqual(parseMountOptions('ro,nosuid,nodev,noexec,defaults'), DEFAULTS);
  });

  for (const [text, pattern] of [
    ['readonly', /unknown mount option 'readonly'[\s\S]*cache/],
    ['ro=1', /ro takes no value/],
    ['constructor', /unknown mount option 'constructor'/],
    ['__proto__=1', /unknown mount option '__proto__'/],
    ['driver=floppy', /driver.*'floppy'.*devfuse/],
    ['driver', /driver needs a value/],
    ['log=', /log needs a value/],
    ['cache=much', /cache.*'much'/],
    ['cache=99999999T', /cache.*too large/],
    ['timeout=0', /timeout.*'0'/],
    ['timeout=1.5', /timeout.*'1\.5'/],
    ['timeout=1e2', /timeout.*'1e2'/],
    ['log_level=loud', /log_level.*'loud'/],
    ['allow_other=no', /allow_other takes no value/],
  ] as const) {
    it(`refuse ${text}`, () => assert.throws(() => parseMountOptions(text), cliError(pattern, 2)));
  }
});
