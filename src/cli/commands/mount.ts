import { mkdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type MountOptions, startMount } from '../../../mount/main.ts';
import { checkMountPoint } from '../../../mount/mount-point.ts';
import { createLogger, type LogFormat, type LogLevel } from '../../io/log/pino-logger.ts';
import { CliError, usageError } from '../cli-error.ts';
import { detach } from '../detach.ts';
import { reportToParent } from '../supervisor.ts';
import {
  type DriverChoice,
  parseAddresses,
  parseDriver,
  parseInteger,
  parseLogFormat,
  parseLogLevel,
  parseSize,
} from '../values.ts';

export interface MountFlags {
  readonly options?: string;
  readonly foreground?: boolean;
  readonly json?: boolean;
}

interface ParsedOptions {
  driver: DriverChoice;
  cacheBytes: number;
  timeoutMs: number;
  allowOther: boolean;
  log: string | undefined;
  logLevel: LogLevel;
  logFormat: LogFormat;
}

const DEFAULT_CACHE_BYTES = 256 * 2 ** 20;
const DEFAULT_TIMEOUT_MS = 30_000;
const SECONDS_MAX = 86_400;

/** Options that mount(8) and fstab(5) give to every file system; they change nothing here. */
const GENERIC = new Set([
  'rw',
  'defaults',
  'noatime',
  'nodiratime',
  'relatime',
  '_netdev',
  'nofail',
  'auto',
  'noauto',
  'user',
  'nouser',
  'async',
  'dev',
  'suid',
  'exec',
]);

/** The text behind -o. Throws a usage error for an unknown option. */
export function parseMountOptions(text: string): ParsedOptions {
  const out: ParsedOptions = {
    driver: 'auto',
    cacheBytes: DEFAULT_CACHE_BYTES,
    timeoutMs: DEFAULT_TIMEOUT_MS,
    allowOther: true,
    log: undefined,
    logLevel: 'info',
    logFormat: 'auto',
  };
  const setters: Readonly<Record<string, (value: string) => void>> = {
    driver: (value) => {
      out.driver = parseDriver(value, 'driver');
    },
    cache: (value) => {
      out.cacheBytes = parseSize(value, 'cache');
    },
    timeout: (value) => {
      out.timeoutMs = parseInteger(value, 'timeout', 1, SECONDS_MAX) * 1000;
    },
    log: (value) => {
      out.log = path.resolve(value);
    },
    log_level: (value) => {
      out.logLevel = parseLogLevel(value, 'log_level');
    },
    log_format: (value) => {
      out.logFormat = parseLogFormat(value, 'log_format');
    },
    allow_other: () => {
      out.allowOther = true;
    },
    noallow_other: () => {
      out.allowOther = false;
    },
  };
  for (const option of text.split(',').filter((part) => part !== '' && !GENERIC.has(part))) {
    const at = option.indexOf('=');
    const name = at < 0 ? option : option.slice(0, at);
    const set = setters[name];
    if (set === undefined)
      throw usageError(`unknown mount option '${name}'`, `known: ${Object.keys(setters).join(', ')}`);
    set(at < 0 ? '' : option.slice(at + 1));
  }
  return out;
}

/** Mounts; in the background unless told otherwise. Throws CliError. */
export async function runMount(
  addressText: string,
  dir: string,
  flags: MountFlags,
  stopSignal: () => Promise<string>,
): Promise<void> {
  const addresses = parseAddresses(addressText, 'ADDRESS');
  const options = parseMountOptions(flags.options ?? '');
  const mountPoint = path.resolve(dir);
  await checkMountPoint(mountPoint);
  const print = (driver: unknown): void => {
    const line =
      flags.json === true
        ? `ready ${JSON.stringify({ mount: mountPoint, driver, servers: addresses })}`
        : `ready: ${mountPoint} is mounted, driver ${String(driver)}`;
    process.stdout.write(`${line}\n`);
  };
  if (flags.foreground === true)
    await runForeground({ addresses, mountPoint, ...options }, options, print, stopSignal());
  else {
    const args = [
      'mount',
      addressText,
      mountPoint,
      '--foreground',
      ...(flags.options === undefined ? [] : ['-o', flags.options]),
    ];
    const ready = await detach(args, options.log ?? defaultLog(mountPoint));
    print(ready['driver']);
  }
}

function defaultLog(mountPoint: string): string {
  const state = process.getuid?.() === 0 ? '/var/log' : path.join(os.homedir(), '.local', 'state', 'ringfs');
  mkdirSync(state, { recursive: true });
  return path.join(state, `ringfs-mount${mountPoint.replaceAll('/', '-')}.log`);
}

async function runForeground(
  options: MountOptions,
  log: { logLevel: LogLevel; logFormat: LogFormat },
  print: (driver: string) => void,
  stopSignal: Promise<string>,
): Promise<void> {
  const logger = createLogger({
    level: log.logLevel,
    format: log.logFormat,
    base: { mount: options.mountPoint, pid: process.pid },
  });
  let mounted: Awaited<ReturnType<typeof startMount>>;
  try {
    mounted = await startMount(options, logger);
  } catch (error) {
    throw error instanceof CliError
      ? error
      : new CliError(
          `cannot mount ${options.mountPoint}: ${(error as Error).message}`,
          'ringfs status HOST:PORT shows whether the servers answer',
        );
  }
  print(mounted.driver);
  reportToParent({ ready: { driver: mounted.driver } });
  const reason = await Promise.race([stopSignal, mounted.unmounted.then(() => 'unmounted')]);
  logger.info({ reason }, 'stopping');
  await mounted.stop();
}
