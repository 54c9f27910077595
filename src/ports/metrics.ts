import type { LatencySnapshot, RequestSnapshot } from '../base/request-stats.ts';

/** What a process tells of itself in numbers, as Prometheus names such things. Read when somebody asks, never pushed. */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly labels?: Labels;
  readonly value: number;
}

export interface LatencySample {
  readonly labels?: Labels;
  readonly latency: LatencySnapshot;
}

/** All samples of one name. The name ends with its unit (seconds, bytes), that of a counter with `_total`. */
export type MetricFamily =
  | {
      /** A counter only grows while the process lives; a gauge is what is so now. */
      readonly type: 'counter' | 'gauge';
      readonly name: string;
      readonly help: string;
      readonly samples: readonly Sample[];
    }
  | {
      readonly type: 'histogram';
      readonly name: string;
      readonly help: string;
      readonly samples: readonly LatencySample[];
    };

export interface Health {
  /** `ok`, or a word for what it is instead. */
  readonly status: string;
  /** For people; empty when all is well. */
  readonly detail: string;
}

/** Implemented by whatever a process runs. */
export interface MetricsSource {
  metrics(): Promise<readonly MetricFamily[]>;
  health(): Promise<Health>;
}

/** The value of a gauge that says whether something is so. */
export const flag = (value: boolean): number => (value ? 1 : 0);

const samplesOf = (value: number | readonly Sample[]): readonly Sample[] =>
  typeof value === 'number' ? [{ value }] : value;

export const counter = (name: string, help: string, value: number | readonly Sample[]): MetricFamily => ({
  type: 'counter',
  name,
  help,
  samples: samplesOf(value),
});

export const gauge = (name: string, help: string, value: number | readonly Sample[]): MetricFamily => ({
  type: 'gauge',
  name,
  help,
  samples: samplesOf(value),
});

/** `labels` names the words for a kind of request and for how it ended. */
export function requestFamilies(
  prefix: string,
  what: string,
  labels: { readonly kind: string; readonly outcome: string },
  requests: readonly RequestSnapshot[],
): MetricFamily[] {
  const total = requests.flatMap(({ kind, outcomes }) =>
    Object.entries(outcomes).map(([outcome, value]) => ({
      labels: { [labels.kind]: kind, [labels.outcome]: outcome },
      value,
    })),
  );
  const latencies = requests.map(({ kind, latency }) => ({ labels: { [labels.kind]: kind }, latency }));
  return [
    counter(`${prefix}s_total`, `${what}, by how they ended`, total),
    {
      type: 'histogram',
      name: `${prefix}_duration_seconds`,
      help: `${what}: how long they took`,
      samples: latencies,
    },
  ];
}
