import { MetricsServer } from '../io/metrics/metrics-server.ts';
import type { Logger } from '../ports/logger.ts';
import { CliError } from './cli-error.ts';

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process uses the port',
  EADDRNOTAVAIL: 'the address is not of this machine',
  EACCES: 'ports below 1024 are for root',
  ENOTFOUND: 'there is no such host',
  EAI_AGAIN: 'the name of the host could not be looked up',
};

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
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new CliError(
      `cannot listen on ${address} for metrics: ${REASONS[code] ?? message}`,
      'choose another with --metrics-listen',
    );
  }
  logger.info({ address }, 'metrics at /metrics, health at /healthz');
  return server;
}
