import { hostname } from 'node:os';
import { BlockClient } from '../src/client/block-client.ts';
import { MetaClient } from '../src/client/meta-client.ts';
import { blockConnector, metaConnector } from '../src/io/grpc/connectors.ts';
import { jitterRandom, systemRandom } from '../src/io/os/system-random.ts';
import { SystemTimers } from '../src/io/os/system-timers.ts';
import type { FileSystem } from '../src/ports/file-system.ts';
import type { Logger } from '../src/ports/logger.ts';
import { Vfs } from '../src/vfs/vfs.ts';
import { DevfuseFrontEnd } from './devfuse/front-end.ts';
import type { FrontEnd } from './front-end.ts';
import { FuseNativeFrontEnd } from './fuse-native/front-end.ts';
import { checkDevfuse, MountError } from './mount-point.ts';

export interface MountOptions {
  /** host:port of meta servers. */
  readonly addresses: readonly string[];
  readonly mountPoint: string;
  readonly driver: 'auto' | 'devfuse' | 'fuse-native';
  readonly cacheBytes: number;
  /** How long an operation waits for the servers before it fails. */
  readonly timeoutMs: number;
  readonly allowOther: boolean;
}

export interface RunningMount {
  readonly driver: 'devfuse' | 'fuse-native';
  /** Resolves when the directory is not mounted any more, whoever unmounted it. */
  readonly unmounted: Promise<void>;
  /** Unmounts, flushes, and closes. */
  stop(): Promise<void>;
}

/** Where to look for the servers on the way to the mount point before giving up. */
const CONNECT_TIMEOUT_MS_MAX = 60_000;

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
  const random = jitterRandom();
  const clientName = `${hostname()}:${process.pid}:${options.mountPoint}`;
  const driver = await chooseDriver(options.driver);
  const meta = new MetaClient(
    { connector: metaConnector(), timers, random: systemRandom, logger },
    { addresses: options.addresses, clientName, operationTimeoutMs: options.timeoutMs },
  );
  try {
    // An unreachable cluster is found out before anything is mounted.
    const timeout = AbortSignal.timeout(Math.min(options.timeoutMs, CONNECT_TIMEOUT_MS_MAX));
    await meta.statfs(signal === undefined ? timeout : AbortSignal.any([timeout, signal]));
  } catch (error) {
    await meta.close();
    throw new MountError(
      'failed',
      `no metadata server answers at ${options.addresses.join(', ')}: ${(error as Error).message}`,
    );
  }
  const { replicas, clusterId } = await meta.topology();
  const blocks = new BlockClient(
    {
      connector: blockConnector(),
      timers,
      random,
      logger,
      nodes: async () => blockAddresses(await meta.topology()),
    },
    {
      clientName,
      clusterId,
      replicas,
      cacheBytes: options.cacheBytes,
      operationTimeoutMs: options.timeoutMs,
    },
  );
  const vfs = new Vfs({ meta, blocks, timers, logger });
  const close = async (): Promise<void> => {
    await vfs.close();
    await blocks.close();
    await meta.close();
  };
  const frontEnd = makeFrontEnd(driver, vfs, options, logger, timers);
  try {
    await frontEnd.start();
  } catch (error) {
    await close();
    throw error;
  }
  return { driver, unmounted: frontEnd.unmounted, stop: () => stopMount(frontEnd, close, logger) };
}

function blockAddresses(topology: {
  blockNodes: readonly { info?: { address: string } | undefined; alive: boolean }[];
}): readonly string[] {
  const addressesOf = (nodes: typeof topology.blockNodes): string[] =>
    nodes.flatMap((node) => (node.info === undefined ? [] : [node.info.address]));
  const alive = addressesOf(topology.blockNodes.filter((node) => node.alive));
  return alive.length > 0 ? alive : addressesOf(topology.blockNodes);
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
  const directory = options.mountPoint;
  if (driver === 'devfuse')
    return new DevfuseFrontEnd({ fileSystem, logger, timers }, { directory, allowOther: options.allowOther });
  const isRoot = process.getuid?.() === 0;
  return new FuseNativeFrontEnd(
    { fileSystem, logger, timers },
    { directory, allowOther: options.allowOther && isRoot },
  );
}

/** A busy mount is detached lazily: what is open keeps working until this process ends, and everything is flushed before. */
async function stopMount(frontEnd: FrontEnd, close: () => Promise<void>, logger: Logger): Promise<void> {
  try {
    await frontEnd.stop();
  } catch (error) {
    if (error instanceof MountError && error.code === 'busy') {
      logger.warn({ err: error }, 'the mount is in use; detaching it');
      await frontEnd.stop({ lazy: true });
    } else if (!(error instanceof MountError && error.code === 'not-mounted')) throw error;
  }
  await close();
}
