import {
  GC_GRACE_MS_DEFAULT,
  REPLICAS_DEFAULT,
  SCRUB_BYTES_PER_SECOND_DEFAULT,
  SCRUB_BYTES_PER_SECOND_MIN,
  SCRUB_INTERVAL_MS_DEFAULT,
  VIRTUAL_NODES_DEFAULT,
} from '../../base/limits.ts';
import { usageError } from '../cli-error.ts';
import type { Setting } from '../settings.ts';
import {
  parseAddress,
  parseAddresses,
  parseDomain,
  parseHosts,
  parseInteger,
  parseLogFormat,
  parseLogLevel,
  parsePeers,
  parseRoles,
  parseServerId,
  parseSize,
  REPLICAS_MAX,
} from '../values.ts';

const setting = <T>(
  name: string,
  value: string,
  description: string,
  parse: (text: string, what: string) => T,
): Setting<T> => ({ name, value, description, parse });

const withDefault = <T>(base: Setting<T>, fallback: T): Setting<T> & { fallback: T } => ({
  ...base,
  fallback,
});
function parseScrubRate(value: string, what: string): number {
  const rate = parseSize(value, what);
  if (rate >= SCRUB_BYTES_PER_SECOND_MIN) return rate;
  throw usageError(`${what} ${value} is too little`, `at least ${SCRUB_BYTES_PER_SECOND_MIN / 1024}K`);
}

/** 2^32 - 1 means no one (chown(2)). */
const parseUserId = (value: string, what: string): number => parseInteger(value, what, 0, 2 ** 32 - 2);

const text = (value: string): string => value;

/** Every setting of `ringfs server`: a flag, a RINGFS_* variable and a config key. */
export const SERVER_SETTINGS = {
  id: setting('id', '<name>', 'name of this server in the cluster; required', parseServerId),
  roles: withDefault(
    setting(
      'roles',
      '<list>',
      'of meta, block and gateway; a gateway alone needs --id and --servers only',
      parseRoles,
    ),
    ['meta', 'block'] as const,
  ),
  listen: setting('listen', '<host:port>', 'where to listen; required', parseAddress),
  advertise: setting(
    'advertise',
    '<host:port>',
    'how others reach this server (default: its address in --peers, else --listen)',
    parseAddress,
  ),
  data: setting('data', '<dir>', 'data directory of this server; required', text),
  peers: setting(
    'peers',
    '<id=host:port,...>',
    'all meta servers of a new cluster, this one included; or --join',
    parsePeers,
  ),
  join: setting(
    'join',
    '<host:port,...>',
    'servers of an existing cluster that this one joins; then: ringfs cluster add',
    parseAddresses,
  ),
  clusterId: setting(
    'cluster-id',
    '<name>',
    'identity of the cluster (default: that of the data directory; a new one is made from --peers)',
    text,
  ),
  replicas: withDefault(
    setting('replicas', '<n>', 'copies of each block', (value, what) =>
      parseInteger(value, what, 1, REPLICAS_MAX),
    ),
    REPLICAS_DEFAULT,
  ),
  capacity: setting(
    'capacity',
    '<size>',
    'bytes that this node may store (default: what the disk has)',
    parseSize,
  ),
  virtualNodes: withDefault(
    setting('virtual-nodes', '<n>', 'positions on the ring', (value, what) =>
      parseInteger(value, what, 1, 1024),
    ),
    VIRTUAL_NODES_DEFAULT,
  ),
  domain: setting(
    'domain',
    '<name>',
    'failure domain, such as a rack: copies of a block go to nodes of different ones (default: none)',
    parseDomain,
  ),
  gcGrace: withDefault(
    setting(
      'gc-grace',
      '<seconds>',
      'how long blocks that no file refers to are kept; the same on all servers',
      (value, what) => parseInteger(value, what, 1, 86_400),
    ),
    GC_GRACE_MS_DEFAULT / 1000,
  ),
  scrubRate: withDefault(
    setting('scrub-rate', '<size>', 'bytes per second that are read to find damaged blocks', parseScrubRate),
    SCRUB_BYTES_PER_SECOND_DEFAULT,
  ),
  scrubInterval: withDefault(
    setting(
      'scrub-interval',
      '<seconds>',
      'pause between two passes over all blocks in search of damage',
      (value, what) => parseInteger(value, what, 1, 31_536_000),
    ),
    SCRUB_INTERVAL_MS_DEFAULT / 1000,
  ),
  servers: setting(
    'servers',
    '<host:port,...>',
    'meta servers of the cluster that a gateway serves (default: those of --peers or --join)',
    parseAddresses,
  ),
  httpListen: setting(
    'http-listen',
    '<host:port>',
    'where a gateway serves HTTP; whoever reaches it may read and change everything (default: 127.0.0.1:8080)',
    parseAddress,
  ),
  httpUid: setting('http-uid', '<uid>', 'owner of what is made through a gateway (default: 0)', parseUserId),
  httpGid: setting('http-gid', '<gid>', 'its group (default: 0)', parseUserId),
  httpHosts: setting(
    'http-hosts',
    '<name,...>',
    'names under which browsers may reach a gateway, besides its addresses and localhost',
    parseHosts,
  ),
  httpCache: setting(
    'http-cache',
    '<size>',
    'memory of a gateway for blocks that were read (default: 256M)',
    parseSize,
  ),
  metricsListen: setting(
    'metrics-listen',
    '<host:port>',
    'where to serve /metrics for Prometheus, and /healthz (default: nowhere)',
    parseAddress,
  ),
  logLevel: withDefault(
    setting('log-level', '<level>', 'trace, debug, info, warn, error, fatal or silent', parseLogLevel),
    'info',
  ),
  logFormat: withDefault(setting('log-format', '<format>', 'auto, json or pretty', parseLogFormat), 'auto'),
} as const;
