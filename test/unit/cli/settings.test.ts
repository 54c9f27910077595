import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CliError } from '../../../src/cli/cli-error.ts';
import { SERVER_SETTINGS } from '../../../src/cli/commands/server-settings.ts';
import { resolveSettings } from '../../../src/cli/settings.ts';
import { parseAddress, parsePeers, parseRoles, parseSize } from '../../../src/cli/values.ts';

const usage = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof CliError);
  assert.match(`${error.message} ${error.hint ?? ''}`, pattern);
  assert.equal(error.exitCode, 2);
  return true;
};

describe('server settings', () => {
  let dir = '';
  const config = (text: string): string => {
    const file = path.join(dir, 'server.yaml');
    writeFileSync(file, text);
    return file;
  };
  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'ringfs-settings-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('takes a flag before a variable before the config file before the default', () => {
    const file = config('id: from-file\nreplicas: 2\nlisten: 10.0.0.1:1\nroles: [meta]\n');
    const flags = { config: file, id: 'from-flag' };
    const env = { RINGFS_ID: 'from-env', RINGFS_LISTEN: '10.0.0.2:2' };
    const values = resolveSettings(SERVER_SETTINGS, flags, env);
    assert.equal(values.id, 'from-flag');
    assert.equal(values.listen, '10.0.0.2:2');
    assert.equal(values.replicas, 2);
    assert.deepEqual(values.roles, ['meta']);
    assert.equal(values.virtualNodes, 32);
    assert.equal(values.data, undefined);
  });

  it('takes a failure domain from a flag, a variable or the config file, and none by default', () => {
    const domain = (flags: object, env: Record<string, string> = {}): string | undefined =>
      resolveSettings(SERVER_SETTINGS, { ...flags }, env).domain;
    assert.equal(domain({ domain: 'rack-1' }, { RINGFS_DOMAIN: 'rack-2' }), 'rack-1');
    assert.equal(domain({}, { RINGFS_DOMAIN: 'eu/rack:2' }), 'eu/rack:2');
    assert.equal(domain({ config: config('domain: rack-3\n') }), 'rack-3');
    assert.equal(domain({}), undefined);
    for (const bad of ['', 'a b', '-x', 'x'.repeat(64)])
      assert.throws(() => domain({ domain: bad }), usage(/not a name/));
  });

  it('reads peers as a map from the config file', () => {
    const file = config('peers:\n  s1: h1:7400\n  s2: h2:7400\n');
    const { peers } = resolveSettings(SERVER_SETTINGS, { config: file }, {});
    assert.deepEqual(peers, [
      { id: 's1', address: 'h1:7400' },
      { id: 's2', address: 'h2:7400' },
    ]);
  });

  it('refuses an unknown key and suggests the nearest', () => {
    const file = config('replcas: 3\n');
    assert.throws(
      () => resolveSettings(SERVER_SETTINGS, { config: file }, {}),
      usage(/unknown key 'replcas'.*'replicas'/),
    );
  });

  it('refuses a config file that is missing or is not a map', () => {
    assert.throws(() => resolveSettings(SERVER_SETTINGS, { config: path.join(dir, 'none') }, {}), CliError);
    const file = config('- a\n- b\n');
    assert.throws(() => resolveSettings(SERVER_SETTINGS, { config: file }, {}), usage(/name: value/));
  });

  it('names the setting in the message of a bad value', () => {
    assert.throws(
      () => resolveSettings(SERVER_SETTINGS, {}, { RINGFS_REPLICAS: 'many' }),
      usage(/RINGFS_REPLICAS.*many/),
    );
  });
});

describe('values', () => {
  it('parses sizes', () => {
    assert.equal(parseSize('512M', 'x'), 512 * 2 ** 20);
    assert.equal(parseSize('1.5GiB', 'x'), 1.5 * 2 ** 30);
    assert.equal(parseSize('100', 'x'), 100);
    for (const bad of ['', 'M', '-1', '5X', '1 2']) assert.throws(() => parseSize(bad, 'x'), CliError, bad);
  });

  it('parses addresses', () => {
    assert.equal(parseAddress('[::1]:80', 'x'), '[::1]:80');
    for (const bad of ['host', 'host:', 'host:0', 'host:65536', ':80', 'a:b:1', 'a b:1']) {
      assert.throws(() => parseAddress(bad, 'x'), CliError, bad);
    }
  });

  it('refuses duplicate peers and unknown roles', () => {
    assert.throws(() => parsePeers('a=h:1,a=h:2', 'x'), usage(/same id/));
    assert.throws(() => parsePeers('a=h:1,b=h:1', 'x'), usage(/same address/));
    assert.throws(() => parsePeers('h:1', 'x'), usage(/not a peer/));
    assert.throws(() => parseRoles('meta,disk', 'x'), usage(/no role 'disk'/));
  });
});
