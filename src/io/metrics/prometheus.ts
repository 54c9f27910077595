import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { LATENCY_BOUNDS_MS } from '../../base/request-stats.ts';
import type { LatencySample, MetricFamily } from '../../ports/metrics.ts';

/** What prom-client writes as one line: its own metrics answer `get()` with these. */
interface Line {
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

const seconds = (ms: number): number => ms / 1000;

/** Cumulative buckets, as Prometheus has them. */
function histogramLines(name: string, { labels = {}, latency }: LatencySample): Line[] {
  const lines: Line[] = [];
  let below = 0;
  for (const [i, count] of latency.counts.entries()) {
    below += count;
    const bound = LATENCY_BOUNDS_MS[i];
    const le = bound === undefined ? '+Inf' : seconds(bound);
    lines.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: below });
  }
  return [
    ...lines,
    { metricName: `${name}_sum`, labels, value: seconds(latency.sumMs) },
    { metricName: `${name}_count`, labels, value: below },
  ];
}

function linesOf(family: MetricFamily): Line[] {
  if (family.type === 'histogram')
    return family.samples.flatMap((sample) => histogramLines(family.name, sample));
  return family.samples.map(({ labels = {}, value }) => ({ labels, value }));
}

/**
 * Families as metrics of prom-client, which asks each for its values when the text is made. Its own classes keep values that
 * are told to them one by one; ours are counted elsewhere already.
 */
function registryOf(families: readonly MetricFamily[]): Registry {
  const registry = new Registry();
  for (const family of families) {
    const { name, help, type } = family;
    const metric = { name, help, type, get: async () => ({ name, help, type, values: linesOf(family) }) };
    registry.registerMetric(metric as unknown as Metric);
  }
  return registry;
}

/** Metrics of this process as Node and the kernel count them, and what it is given, as text for Prometheus. */
export class PrometheusText {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #process = new Registry();

  constructor() {
    collectDefaultMetrics({ register: this.#process });
  }

  async render(families: readonly MetricFamily[]): Promise<string> {
    return await Registry.merge([this.#process, registryOf(families)]).metrics();
  }
}
