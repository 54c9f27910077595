import type { LogFormat, LogLevel } from '../io/log/pino-logger.ts';
import { usageError } from './cli-error.ts';

/** Parsers of flag, environment and config values. Each throws a usage error that names the setting. */

export interface Peer {
  readonly id: string;
  readonly address: string;
}

/** More copies than this only cost: a block is lost when all its owners are. */
export const REPLICAS_MAX = 16;

const UNIT_BYTES: Readonly<Record<string, number>> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** `512M`, `1.5G`, `1048576`. */
export function parseSize(text: string, what: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim());
  const unit = match?.[2] === undefined ? undefined : UNIT_BYTES[match[2].toUpperCase()];
  if (match?.[1] === undefined || unit === undefined) {
    throw usageError(
      `${what}: '${text}' is not a size`,
      'write a number of bytes, or one with K, M, G or T, such as 512M',
    );
  }
  const bytes = Math.floor(Number(match[1]) * unit);
  if (!Number.isSafeInteger(bytes)) throw usageError(`${what}: '${text}' is too large`);
  return bytes;
}

export function parseInteger(text: string, what: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\s*\d+\s*$/.test(text) || value < min || value > max) {
    throw usageError(`${what}: '${text}' is not a whole number from ${min} to ${max}`);
  }
  return value;
}

/** `host:port`, `[v6]:port`. */
export function parseAddress(text: string, what: string): string {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:,]+):(\d{1,5})$/.exec(text.trim());
  const port = Number(match?.[2]);
  if (match === null || port < 1 || port > 65_535) {
    throw usageError(`${what}: '${text}' is not an address`, 'write host:port, such as 10.0.0.1:7400');
  }
  return text.trim();
}

export function parseAddresses(text: string, what: string): readonly string[] {
  return text.split(',').map((part) => parseAddress(part, what));
}

/** Name of a failure domain. */
export function parseDomain(text: string, what: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}$/.test(text)) {
    throw usageError(
      `${what}: '${text}' is not a name`,
      'use up to 63 letters, digits, dots, dashes, underscores, colons and slashes, such as rack-2',
    );
  }
  return text;
}

/** Host names as a browser sends them, without ports. */
export function parseHosts(text: string, what: string): readonly string[] {
  return text.split(',').map((part) => {
    const host = part.trim();
    if (/^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/.test(host)) return host;
    throw usageError(
      `${what}: '${part}' is not a host name`,
      'write names without ports, such as files.example',
    );
  });
}

export function parseServerId(text: string, what: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text)) {
    throw usageError(
      `${what}: '${text}' is not a server name`,
      'use up to 63 letters, digits, dots, dashes and underscores',
    );
  }
  return text;
}

/** `s1=host:port,s2=host:port`. */
export function parsePeers(text: string, what: string): readonly Peer[] {
  const peers = text.split(',').map((part) => {
    const at = part.indexOf('=');
    if (at < 0)
      throw usageError(`${what}: '${part}' is not a peer`, 'write id=host:port, separated by commas');
    return {
      id: parseServerId(part.slice(0, at).trim(), what),
      address: parseAddress(part.slice(at + 1), what),
    };
  });
  for (const key of ['id', 'address'] as const) {
    const seen = new Set(peers.map((peer) => peer[key]));
    if (seen.size !== peers.length) throw usageError(`${what}: the same ${key} is given twice`);
  }
  return peers;
}

const ROLES = ['meta', 'block', 'gateway'] as const;
export type Role = (typeof ROLES)[number];

export function parseRoles(text: string, what: string): readonly Role[] {
  const roles = text.split(',').map((part) => part.trim());
  for (const role of roles) {
    if (!ROLES.some((known) => known === role))
      throw usageError(`${what}: there is no role '${role}'`, `roles are ${ROLES.join(', ')}`);
  }
  return ROLES.filter((role) => roles.includes(role));
}

const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
const LOG_FORMATS: readonly LogFormat[] = ['auto', 'json', 'pretty'];

function oneOf<T extends string>(text: string, what: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found === undefined) throw usageError(`${what}: '${text}' is not one of ${allowed.join(', ')}`);
  return found;
}

export const parseLogLevel = (text: string, what: string): LogLevel => oneOf(text, what, LOG_LEVELS);
export const parseLogFormat = (text: string, what: string): LogFormat => oneOf(text, what, LOG_FORMATS);

export type DriverChoice = 'auto' | 'devfuse' | 'fuse-native';
export const parseDriver = (text: string, what: string): DriverChoice =>
  oneOf(text, what, ['auto', 'devfuse', 'fuse-native'] as const);
