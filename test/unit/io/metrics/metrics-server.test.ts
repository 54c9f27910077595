import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { LatencyHistogram } from '../../../../src/base/request-stats.ts';
import { MetricsServer } from '../../../../src/io/metrics/metrics-server.ts';
import { counter, gauge, type MetricFamily, type MetricsSource } from '../../../../src/ports/metrics.ts';
import { Scrape } from '../../../support/prometheus-text.ts';
import { RecordingLogger } from '../../../support/recording-logger.ts';

const source = (families: readonly MetricFamily[], status = 'ok', detail = ''): MetricsSource => ({
  metrics: async () => families,
  health: async () => ({ status, detail }),
});

describe('the metrics server', () => {
  let server: MetricsServer;
  let logger: RecordingLogger;
  let address = '';
  beforeEach(async () => {
    logger = new RecordingLogger();
    server = new MetricsServer({ logger });
    address = `127.0.0.1:${await server.listen('127.0.0.1:0')}`;
  });
  afterEach(() => server.close());

  const get = async (path: string, method = 'GET'): Promise<[number, string]> => {
    const response = await fetch(`http://${address}${path}`, { method });
    return [response.status, await response.text()];
  };

  it('tells of the process before there is anything else', async () => {
    assert.deepEqual(await get('/healthz'), [503, 'starting\n']);
    const scrape = await Scrape.of(address);
    assert.ok(scrape.value('process_resident_memory_bytes')! > 0);
  });

  it('writes counters, gauges and histograms as Prometheus reads them', async () => {
    const latency = new LatencyHistogram();
    for (const ms of [0.3, 0.3, 40, 100_000]) latency.note(ms);
    server.serve(
      source([
        counter('a_total', 'with a "quote" and a \\ and\na line', [
          { labels: { path: '/a "b"\\\n' }, value: 3 },
        ]),
        gauge('b', 'plain', 2.5),
        {
          type: 'histogram',
          name: 'c_seconds',
          help: 'h',
          samples: [{ labels: { kind: 'x' }, latency: latency.snapshot() }],
        },
      ]),
    );
    const scrape = await Scrape.of(address);
    assert.equal(scrape.types.get('a_total'), 'counter');
    assert.deepEqual(scrape.labels('a_total'), { path: '/a "b"\\\n' });
    assert.equal(scrape.value('a_total'), 3);
    assert.equal(scrape.value('b'), 2.5);
    assert.equal(scrape.types.get('c_seconds'), 'histogram');
    const bucket = (le: string): number | undefined => scrape.value('c_seconds_bucket', { kind: 'x', le });
    assert.deepEqual([bucket('0.00025'), bucket('0.0005'), bucket('0.025'), bucket('0.05')], [0, 2, 2, 3]);
    assert.deepEqual([bucket('30'), bucket('+Inf'), scrape.value('c_seconds_count')], [3, 4, 4]);
    assert.equal(scrape.value('c_seconds_sum')?.toFixed(4), '100.0406');
  });

  it('answers 200 only when all is well', async () => {
    server.serve(source([]));
    assert.deepEqual(await get('/healthz'), [200, 'ok\n']);
    server.serve(source([], 'degraded', 'no leader is known'));
    assert.deepEqual(await get('/healthz'), [503, 'degraded: no leader is known\n']);
  });

  it('knows two paths and reads only', async () => {
    assert.equal((await get('/'))[0], 404);
    assert.equal((await get('/metrics', 'POST'))[0], 405);
    assert.equal((await get('/metrics?x=1'))[0], 200);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const [host, port] = address.split(':');
      request({ host, port, path: '//[' }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .on('error', reject)
        .end();
    });
    assert.equal(status, 404, 'a target that is no URL');
  });

  it('says so when the numbers cannot be had, and goes on', async () => {
    server.serve({ ...source([]), metrics: () => Promise.reject(new Error('the store is closed')) });
    assert.deepEqual(await get('/metrics'), [500, 'the store is closed\n']);
    assert.ok(logger.lines.some((line) => line.message === 'metrics could not be told'));
    server.serve(source([gauge('b', 'plain', 1)]));
    assert.equal((await Scrape.of(address)).value('b'), 1);
  });

  it('collects once for all who ask at the same time', async () => {
    let collected = 0;
    let release: (families: readonly MetricFamily[]) => void = () => {};
    const collecting = new Promise<readonly MetricFamily[]>((resolve) => {
      release = resolve;
    });
    let asked = (): void => {};
    const begun = new Promise<void>((resolve) => {
      asked = resolve;
    });
    server.serve({
      ...source([]),
      metrics: () => {
        collected++;
        asked();
        return collecting;
      },
    });
    const first = get('/metrics');
    await begun;
    const [host, port] = address.split(':');
    const second = request({ host, port, path: '/metrics', headers: { expect: '100-continue' } });
    const answered = new Promise<string>((resolve) => {
      second.on('response', (response) => void text(response).then(resolve));
    });
    second.flushHeaders();
    // Sent right before the request is handled.
    await once(second, 'continue');
    second.end();
    release([gauge('b', 'plain', 1)]);
    assert.equal(new Scrape((await first)[1]).value('b'), 1);
    assert.equal(new Scrape(await answered).value('b'), 1);
    assert.equal(collected, 1);
  });

  it('rejects when the port is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen({ host: '127.0.0.1', port: 0 }, resolve));
    const { port } = other.address() as AddressInfo;
    const late = new MetricsServer({ logger });
    await assert.rejects(late.listen(`127.0.0.1:${port}`), { code: 'EADDRINUSE' });
    late.close();
    other.close();
  });
});
