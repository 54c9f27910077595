import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gatewayOptionsOf } from '../../../src/cli/commands/gateway-options.ts';
import { optionsOf } from '../../../src/cli/commands/server.ts';
import { SERVER_SETTINGS } from '../../../src/cli/commands/server-settings.ts';
import { upOptions } from '../../../src/cli/commands/up-options.ts';
import { resolveSettings } from '../../../src/cli/settings.ts';

describe('the settings of a gateway', () => {
  let dir = '';
  before(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'ringfs-gateway-'));
  });
  after(() => rmSync(dir, { recursive: true }));

  it('alone: it is told servers, and listens on this machine', () => {
    const flags = { id: 'g1', roles: 'gateway', servers: 'h1:1,h2:2' };
    const options = gatewayOptionsOf(resolveSettings(SERVER_SETTINGS, flags, {}), '1', undefined);
    assert.deepEqual(
      [options?.addresses, options?.listen, options?.uid, options?.gid, options?.alone],
      [['h1:1', 'h2:2'], '127.0.0.1:8080', 0, 0, true],
    );
  });

  it('beside a server: it uses that one first, and the others of its cluster', async () => {
    const flags = {
      id: 's2',
      roles: 'meta,block,gateway',
      listen: 'h2:1',
      data: dir,
      peers: 's1=h1:1,s2=h2:1',
    };
    const values = resolveSettings(SERVER_SETTINGS, flags, { RINGFS_HTTP_LISTEN: '0.0.0.0:80' });
    const options = gatewayOptionsOf(values, '1', await optionsOf(values, '1'));
    assert.deepEqual(
      [options?.addresses, options?.listen, options?.alone],
      [['h2:1', 'h1:1'], '0.0.0.0:80', false],
    );
    const block = { ...flags, roles: 'block,gateway', peers: 's1=h1:1', 'cluster-id': 'c' };
    const blockValues = resolveSettings(SERVER_SETTINGS, block, {});
    const asked = gatewayOptionsOf(blockValues, '1', await optionsOf(blockValues, '1'));
    assert.deepEqual(asked?.addresses, ['h1:1']);
  });

  it('without the role there is none', () => {
    const values = resolveSettings(SERVER_SETTINGS, { id: 's1' }, {});
    assert.equal(gatewayOptionsOf(values, '1', undefined), undefined);
  });

  it('ringfs up has one only if a port is given, with metrics behind the mount', () => {
    const flags = { data: dir, driver: 'auto', logLevel: 'info', nodes: '1', metricsBasePort: '100' };
    const without = upOptions(flags, () => 'id');
    assert.deepEqual([without.http, without.metrics], [undefined, ['127.0.0.1:100', '127.0.0.1:101']]);
    const options = upOptions({ ...flags, httpPort: '8080' }, () => 'id');
    assert.deepEqual([options.http, options.metrics.at(-1)], ['127.0.0.1:8080', '127.0.0.1:102']);
    assert.throws(() => upOptions({ ...flags, httpPort: '0' }, () => 'id'), /--http-port/);
  });
});
