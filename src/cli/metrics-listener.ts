import { MetricsServer } from '../io/metrics/metrics-server.ts';
import type { Logger } from '../ports/logger.ts';
import { CliError } from './cli-error.ts';
import { listenReason } from './listen-reasons.ts';

/** Listens for who wants metrics, if an address is given. Throws CliError. */
export async function listenForMetrics(
  address: string | undefined,
  logger: Logger,
): Promise<MetricsServer | undefined> {
  if (address === undefined) return undefined;
  const server = new MetricsServer({ logger });
  try {
    await server.listen(address);
  } catch (error) {
    throw new CliError(
      `cannot listen on ${address} for metrics: ${listenReason(error)}`,
      'choose another with --metrics-listen',
    );
  }
  logger.info({ address }, 'metrics at /metrics, health at /healthz');
  return server;
}
