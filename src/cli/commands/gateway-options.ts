import { CLIENT_OPERATION_TIMEOUT_MS_DEFAULT } from '../../base/limits.ts';
import { usageError } from '../cli-error.ts';
import type { GatewayProcessOptions } from '../gateway-process.ts';
import type { ServerOptions } from '../server/server-options.ts';
import type { Values } from '../settings.ts';
import type { SERVER_SETTINGS } from './server-settings.ts';

type ServerValues = Values<typeof SERVER_SETTINGS>;

/** This machine only: there is no authentication. */
const HTTP_LISTEN_DEFAULT = '127.0.0.1:8080';
const HTTP_CACHE_BYTES_DEFAULT = 256 * 2 ** 20;

const ONLY_GATEWAY = ['servers', 'httpListen', 'httpUid', 'httpGid', 'httpHosts', 'httpCache'] as const;

/** What `values` say of the role gateway; undefined without it. `server`: what else the process is. Throws CliError. */
export function gatewayOptionsOf(
  values: ServerValues,
  version: string,
  server: ServerOptions | undefined,
): GatewayProcessOptions | undefined {
  if (!values.roles.includes('gateway')) {
    const useless = ONLY_GATEWAY.find((name) => values[name] !== undefined);
    if (useless === undefined) return undefined;
    const flag = useless.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw usageError(`--${flag} is for the role gateway`, 'add gateway to --roles, or leave it out');
  }
  if (values.id === undefined) throw usageError('--id is missing', 'give the gateway a name, such as g1');
  return {
    id: values.id,
    version,
    addresses: addressesOf(values, server),
    listen: values.httpListen ?? HTTP_LISTEN_DEFAULT,
    uid: values.httpUid ?? 0,
    gid: values.httpGid ?? 0,
    hosts: values.httpHosts ?? [],
    cacheBytes: values.httpCache ?? HTTP_CACHE_BYTES_DEFAULT,
    timeoutMs: CLIENT_OPERATION_TIMEOUT_MS_DEFAULT,
    alone: server === undefined,
  };
}

/** Beside a server, its own cluster, and of that first this server. */
function addressesOf({ servers, roles }: ServerValues, server: ServerOptions | undefined): readonly string[] {
  if (servers !== undefined) return servers;
  if (server === undefined)
    throw usageError(
      '--servers is missing',
      'name meta servers of the cluster that the gateway is for: --servers HOST:PORT[,HOST:PORT...]',
    );
  return [...new Set([...(roles.includes('meta') ? [server.advertise] : []), ...server.contacts])];
}
