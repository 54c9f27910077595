import type { HttpMethod, HttpRequest } from '../ports/http.ts';
import { GatewayError } from './errors.ts';

const READING: ReadonlySet<HttpMethod> = new Set(['GET', 'HEAD']);
const IP_V4 = /^\d{1,3}(\.\d{1,3}){3}$/;

/** Without the port. */
function hostOf(authority: string): string {
  return authority.replace(/:\d*$/, '').toLowerCase();
}

/**
 * What a browser must not be led to do by a page of somebody else, there being no authentication that would stop it. A host that is
 * neither an address nor known could be a name whose owner points it here to be of the same origin (DNS rebinding); a change asked
 * for by a page of another origin is refused. Throws FORBIDDEN.
 */
export function checkOrigin(
  { method, headers }: Pick<HttpRequest, 'method' | 'headers'>,
  hosts: readonly string[],
): void {
  const authority = headers['host'] ?? '';
  const host = hostOf(authority);
  const known = host === 'localhost' || IP_V4.test(host) || host.startsWith('[') || hosts.includes(host);
  if (!known)
    throw new GatewayError('FORBIDDEN', `the host '${host}' is not one of this gateway: see --http-hosts`);
  if (READING.has(method)) return;
  const { origin } = headers;
  const site = headers['sec-fetch-site'];
  const foreign =
    (origin !== undefined && origin.replace(/^https?:\/\//, '').toLowerCase() !== authority.toLowerCase()) ||
    (site !== undefined && site !== 'same-origin' && site !== 'none');
  if (foreign) throw new GatewayError('FORBIDDEN', 'a page of another origin may not change files');
}
