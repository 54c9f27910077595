import { mkdirSync, openSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type MountOptions, type RunningMount, startMount } from '../../../mount/main.ts';
import { checkMountPoint, unmountDead } from '../../../mount/mount-point.ts';
import { createLogger, type LogFormat, type LogLevel } from '../../io/log/pino-logger.ts';
import type { Logger } from '../../ports/logger.ts';
import { CliError, usageError } from '../cli-error.ts';
import { detach } from '../detach.ts';
import { listenForMetrics } from '../metrics-listener.ts';
import { METRICS_VARIABLE, reportToParent } from '../ringfs-child.ts';
import {
  type DriverChoice,
  parseAddress,
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
  readonly metricsListen?: string;
  readonly json?: boolean;
}

interface ParsedOptions {
  driver: DriverChoice;
  cacheBytes: number;
  timeoutMs: number;
  allowOther: boolean;
  readOnly: boolean;
  noSuid: boolean;
  noDev: boolean;
  noExec: boolean;
  locks: 'cluster' | 'local';
  followers: 'on' | 'off';
  log: string | undefined;
  logLevel: LogLevel;
  logFormat: LogFormat;
  metricsListen: string | undefined;
}

const DEFAULT_CACHE_BYTES = 256 * 2 ** 20;
const DEFAULT_TIMEOUT_MS = 30_000;
const SECONDS_MAX = 86_400;

/** Options that mount(8) and fstab(5) give to every file system; they change nothing here. */
const GENERIC = new Set([
  'noatime',
  'nodiratime',
  'relatime',
  '_netdev',
  'nofail',
  'auto',
  'noauto',
  'nouser',
  'async',
]);

/** x-... and comment=... are for other programs that read fstab(5). */
function isGeneric(option: string): boolean {
  return GENERIC.has(option) || option.startsWith('x-') || option.startsWith('comment=');
}

/** Options without a value; each overrides those before it, as for mount(8). */
const SWITCHES: ReadonlyMap<string, Partial<ParsedOptions>> = new Map([
  ['allow_other', { allowOther: true }],
  ['noallow_other', { allowOther: false }],
  ['ro', { readOnly: true }],
  ['rw', { readOnly: false }],
  ['suid', { noSuid: false }],
  ['nosuid', { noSuid: true }],
  ['dev', { noDev: false }],
  ['nodev', { noDev: true }],
  ['exec', { noExec: false }],
  ['noexec', { noExec: true }],
  ['defaults', { readOnly: false, noSuid: false, noDev: false, noExec: false }],
  ['user', { noSuid: true, noDev: true, noExec: true }],
]);

/** The text behind -o. Throws a usage error for an unknown option. */
export function parseMountOptions(text: string): ParsedOptions {
  const out: ParsedOptions = {
    driver: 'auto',
    cacheBytes: DEFAULT_CACHE_BYTES,
    timeoutMs: DEFAULT_TIMEOUT_MS,
    allowOther: true,
    readOnly: false,
    noSuid: false,
    noDev: false,
    noExec: false,
    locks: 'cluster',
    followers: 'on',
    log: undefined,
    logLevel: 'info',
    logFormat: 'auto',
    metricsListen: undefined,
  };
  const setters = new Map<string, (value: string, what: string) => void>(
    Object.entries({
      driver: (value: string, what: string) => {
        out.driver = parseDriver(value, what);
      },
      cache: (value: string, what: string) => {
        out.cacheBytes = parseSize(value, what);
      },
      timeout: (value: string, what: string) => {
        out.timeoutMs = parseInteger(value, what, 1, SECONDS_MAX) * 1000;
      },
      locks: (value: string, what: string) => {
        if (value !== 'cluster' && value !== 'local') throw usageError(`${what}: cluster or local`);
        out.locks = value;
      },
      followers: (value: string, what: string) => {
        if (value !== 'on' && value !== 'off') throw usageError(`${what}: on or off`);
        out.followers = value;
      },
      log: (value: string) => {
        out.log = path.resolve(value);
      },
      log_level: (value: string, what: string) => {
        out.logLevel = parseLogLevel(value, what);
      },
      log_format: (value: string, what: string) => {
        out.logFormat = parseLogFormat(value, what);
      },
      metrics_listen: (value: string, what: string) => {
        out.metricsListen = parseAddress(value, what);
      },
    }),
  );
  for (const option of text.split(',').filter((part) => part !== '' && !isGeneric(part))) {
    const at = option.indexOf('=');
    const name = at < 0 ? option : option.slice(0, at);
    const value = at < 0 ? '' : option.slice(at + 1);
    const set = setters.get(name);
    const switched = SWITCHES.get(name);
    if (switched !== undefined && at < 0) Object.assign(out, switched);
    else if (switched !== undefined) throw usageError(`mount option ${name} takes no value`);
    else if (set === undefined)
      throw usageError(
        `unknown mount option '${name}'`,
        `known: ${[...setters.keys(), ...SWITCHES.keys()].join(', ')}`,
      );
    else if (value === '') throw usageError(`mount option ${name} needs a value: ${name}=...`);
    else set(value, `mount option ${name}`);
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
  options.metricsListen = metricsAddress(flags.metricsListen, process.env) ?? options.metricsListen;
  const mountPoint = path.resolve(dir);
  if (await unmountDead(mountPoint)) {
    process.stderr.write(`ringfs: mounting again; the process of the last mount of ${mountPoint} is gone\n`);
  }
  await checkMountPoint(mountPoint);
  const print = (driver: unknown, log: string | undefined): void => {
    const line =
      flags.json === true
        ? `ready ${JSON.stringify({ mount: mountPoint, driver, servers: addresses, log })}`
        : `ready: ${mountPoint} is mounted, driver ${String(driver)}${log === undefined ? '' : `, log ${log}`}`;
    process.stdout.write(`${line}\n`);
  };
  if (flags.foreground === true) {
    const printDriver = (driver: string): void => print(driver, options.log);
    await runForeground({ addresses, mountPoint, ...options }, options, printDriver, stopSignal());
  } else {
    const args = [
      'mount',
      addressText,
      mountPoint,
      '--foreground',
      ...(flags.options === undefined ? [] : ['-o', flags.options]),
      ...(options.metricsListen === undefined ? [] : ['--metrics-listen', options.metricsListen]),
    ];
    const log = options.log ?? defaultLog(mountPoint);
    const ready = await detach(args, log);
    print(ready['driver'], log);
  }
}

/** The flag, else the variable. Throws a usage error. */
function metricsAddress(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const variable = env[METRICS_VARIABLE];
  if (flag !== undefined) return parseAddress(flag, '--metrics-listen');
  return variable === undefined ? undefined : parseAddress(variable, METRICS_VARIABLE);
}

function defaultLog(mountPoint: string): string {
  const state = process.getuid?.() === 0 ? '/var/log' : path.join(os.homedir(), '.local', 'state', 'ringfs');
  mkdirSync(state, { recursive: true });
  return path.join(state, `ringfs-mount${mountPoint.replaceAll('/', '-')}.log`);
}

function openLog(file: string): number {
  try {
    return openSync(file, 'a');
  } catch (error) {
    throw new CliError(
      `cannot write the log ${file}: ${(error as Error).message}`,
      'choose another: -o log=FILE',
    );
  }
}

async function runForeground(
  options: MountOptions,
  log: Pick<ParsedOptions, 'log' | 'logLevel' | 'logFormat' | 'metricsListen'>,
  print: (driver: string) => void,
  stopSignal: Promise<string>,
): Promise<void> {
  const logger = createLogger({
    level: log.logLevel,
    format: log.logFormat,
    base: { mount: options.mountPoint, pid: process.pid },
    ...(log.log === undefined ? {} : { fd: openLog(log.log) }),
  });
  const stopping = new AbortController();
  const stopped = stopSignal.then((signal) => {
    stopping.abort();
    return signal;
  });
  const metrics = await listenForMetrics(log.metricsListen, logger);
  try {
    const mounted = await mountOrExplain(options, logger, stopping.signal, stopped);
    metrics?.serve(mounted);
    // In the background, the process that started this one prints it.
    if (process.send === undefined) print(mounted.driver);
    reportToParent({ ready: { driver: mounted.driver } });
    const reason = await Promise.race([stopped, mounted.unmounted.then(() => 'unmounted')]);
    logger.info({ reason }, 'stopping');
    await mounted.stop();
  } finally {
    metrics?.close();
  }
}

/** Throws CliError. */
async function mountOrExplain(
  options: MountOptions,
  logger: Logger,
  signal: AbortSignal,
  stopped: Promise<string>,
): Promise<RunningMount> {
  try {
    return await startMount(options, logger, signal);
  } catch (error) {
    if (signal.aborted) throw new CliError(`stopped by ${await stopped} before it was mounted`);
    throw error instanceof CliError
      ? error
      : new CliError(
          `cannot mount ${options.mountPoint}: ${(error as Error).message}`,
          'ringfs status HOST:PORT shows whether the servers answer',
        );
  }
}
