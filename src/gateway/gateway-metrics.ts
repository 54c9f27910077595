import type { RequestSnapshot } from '../base/request-stats.ts';
import { counter, flag, gauge, type MetricFamily, requestFamilies } from '../ports/metrics.ts';

export interface GatewayMetricsInput {
  readonly id: string;
  readonly version: string;
  readonly listen: string;
  readonly http: {
    readonly requests: readonly RequestSnapshot[];
    readonly receivedBytes: number;
    readonly sentBytes: number;
    readonly inFlight: number;
  };
  readonly uploads: number;
  readonly downloads: number;
  /** Undefined while the cluster is looked for. */
  readonly tree: { readonly dirtyBytes: number; readonly hasLeader: boolean } | undefined;
}

/** Everything that a gateway tells of itself. docs/metrics.md says what it means; each name is in there. */
export function gatewayMetrics(input: GatewayMetricsInput): MetricFamily[] {
  const { id, version, listen, http, uploads, downloads, tree } = input;
  return [
    gauge('ringfs_gateway_info', 'Which gateway this is; always 1', [
      { labels: { id, version, listen }, value: 1 },
    ]),
    ...requestFamilies(
      'ringfs_gateway_request',
      'HTTP requests to this gateway',
      { kind: 'method', outcome: 'status' },
      http.requests,
    ),
    counter('ringfs_gateway_received_bytes_total', 'Bodies of requests', http.receivedBytes),
    counter('ringfs_gateway_sent_bytes_total', 'Bodies of answers', http.sentBytes),
    gauge('ringfs_gateway_requests_in_flight', 'Requests under way', http.inFlight),
    gauge('ringfs_gateway_uploads_in_flight', 'Of these, files that are being written', uploads),
    gauge('ringfs_gateway_downloads_in_flight', 'Of these, files that are being read', downloads),
    gauge(
      'ringfs_gateway_dirty_bytes',
      'Received and not sent to the servers yet; bounded for all uploads together',
      tree?.dirtyBytes ?? 0,
    ),
    gauge(
      'ringfs_gateway_has_leader',
      '1 if the gateway is connected to the leader',
      flag(tree?.hasLeader === true),
    ),
  ];
}
