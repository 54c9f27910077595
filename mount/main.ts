import { hostname } from 'node:os';
import { NoServersError, TreeClient } from '../src/cli/tree-client.ts';
import { SystemTimers } from '../src/io/os/system-timers.ts';
import type { FileSystem } from '../src/ports/file-system.ts';
import type { Logger } from '../src/ports/logger.ts';
import type { MetricsSource } from '../src/ports/metrics.ts';
import { DevfuseFrontEnd } from './devfuse/front-end.ts';
import type { FrontEnd, MountFlags } from './front-end.ts';
import { FuseNativeFrontEnd } from './fuse-native/front-end.ts';
import { mountMetrics } from './mount-metrics.ts';
import { checkDevfuse, MountError } from './mount-point.ts';
import { stopMount } from './stop-mount.ts';

export interface MountOptions extends MountFlags {
  /** host:port of meta servers. */
  readonly addresses: readonly string[];
  readonly mountPoint: string;
  readonly driver: 'auto' | 'devfuse' | 'fuse-native';
  readonly cacheBytes: number;
  /** How long an operation waits for the servers before it fails. */
  readonly timeoutMs: number;
  readonly allowOther: boolean;
  /** Processes of all mounts exclude each other, else those of this mount. fuse-native has only the latter. */
  readonly locks: 'cluster' | 'local';
  /** Whether the leader is asked through other servers while it cannot be reached from here. */
  readonly followers: 'on' | 'off';
}

export interface RunningMount extends MetricsSource {
  readonly driver: 'devfuse' | 'fuse-native';
  /** Resolves when the directory is not mounted any more, whoever unmounted it. */
  readonly unmounted: Promise<void>;
  /** Unmounts, flushes, and closes. A mount in use is detached and gets a while to fall out of use. */
  stop(): Promise<void>;
}

/**
 * Composes a mount from its parts and makes it visible. Rejects with MountError or what the servers say. `signal` ends the
 * search for the servers.
 */
export async function startMount(
  options: MountOptions,
  logger: Logger,
  signal?: AbortSignal,
): Promise<RunningMount> {
  const timers = new SystemTimers();
  const clientName = `${hostname()}:${process.pid}:${options.mountPoint}`;
  const driver = await chooseDriver(options.driver);
  // An unreachable cluster is found out before anything is mounted.
  const client = await connect(options, clientName, { timers, logger }, signal);
  const { meta, blocks, vfs } = client;
  const close = (): Promise<void> => client.close();
  const frontEnd = makeFrontEnd(driver, vfs, options, logger, timers);
  try {
    await frontEnd.start();
  } catch (error) {
    await close();
    throw error;
  }
  const flush = (): Promise<void> => vfs.quiesce();
  const stop = (): Promise<void> => stopMount({ frontEnd, flush, close, timers, logger });
  const { mountPoint } = options;
  return {
    driver,
    unmounted: frontEnd.unmounted,
    stop,
    metrics: async () =>
      mountMetrics({ mountPoint, driver, vfs: vfs.stats(), meta: meta.stats(), blocks: blocks.stats() }),
    health: async () =>
      meta.stats().leader === undefined
        ? { status: 'degraded', detail: 'no leader of the metadata cluster answers' }
        : { status: 'ok', detail: '' },
  };
}

async function connect(
  { addresses, timeoutMs, cacheBytes, followers }: MountOptions,
  clientName: string,
  components: { readonly timers: SystemTimers; readonly logger: Logger },
  signal: AbortSignal | undefined,
): Promise<TreeClient> {
  const options = { addresses, clientName, timeoutMs, cacheBytes, followers: followers === 'on' };
  try {
    return await TreeClient.connect(components, options, signal);
  } catch (error) {
    throw error instanceof NoServersError ? new MountError('failed', error.message) : error;
  }
}

async function chooseDriver(wanted: MountOptions['driver']): Promise<'devfuse' | 'fuse-native'> {
  if (wanted === 'fuse-native') return 'fuse-native';
  if (wanted === 'auto' && (process.platform !== 'linux' || process.getuid?.() !== 0)) return 'fuse-native';
  await checkDevfuse();
  return 'devfuse';
}

function makeFrontEnd(
  driver: 'devfuse' | 'fuse-native',
  fileSystem: FileSystem,
  options: MountOptions,
  logger: Logger,
  timers: SystemTimers,
): FrontEnd {
  const { mountPoint: directory, allowOther, readOnly = false } = options;
  const { noSuid = false, noDev = false, noExec = false } = options;
  const flags: MountFlags = { readOnly, noSuid, noDev, noExec };
  if (driver === 'devfuse')
    return new DevfuseFrontEnd(
      { fileSystem, logger, timers },
      { directory, allowOther, remoteLocks: options.locks === 'cluster', ...flags },
    );
  const isRoot = process.getuid?.() === 0;
  return new FuseNativeFrontEnd(
    { fileSystem, logger, timers },
    { directory, allowOther: allowOther && isRoot, ...flags },
  );
}
