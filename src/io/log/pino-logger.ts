import { isatty } from 'node:tty';
import { pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import type { Logger } from '../../ports/logger.ts';

export type LogFormat = 'auto' | 'json' | 'pretty';
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface LogOptions {
  readonly level: LogLevel;
  /** `auto`: for people when the destination is a terminal, else JSON lines. */
  readonly format: LogFormat;
  /** Fields of every line. */
  readonly base?: object;
  /** Default 2: standard output belongs to the command's answer. */
  readonly fd?: number;
}

/** Lines that could not be written, kept for the next try; later ones are dropped. */
const UNWRITTEN_BYTES_MAX = 1 << 20;

/** Structured logs through pino, synchronous so that the last line before a crash is there. */
export function createLogger(options: LogOptions): Logger {
  const fd = options.fd ?? 2;
  const isTerminal = isatty(fd);
  const pretty = options.format === 'pretty' || (options.format === 'auto' && isTerminal);
  const settings: pino.LoggerOptions = {
    level: options.level,
    base: options.base ?? null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: {
      err: pino.stdSerializers.err,
      error: pino.stdSerializers.err,
      cause: pino.stdSerializers.err,
    },
    formatters: { level: (label) => ({ level: label }) },
  };
  const destination = pino.destination({ dest: fd, sync: true, maxLength: UNWRITTEN_BYTES_MAX });
  // A full disk or a reader that is gone costs log lines, not the process.
  destination.on('error', () => {});
  if (!pretty) return pino(settings, destination);
  const stream = PinoPretty({
    destination,
    sync: true,
    colorize: isTerminal,
    ignore: 'hostname',
    translateTime: 'SYS:HH:MM:ss.l',
    singleLine: true,
  });
  return pino(settings, stream);
}
