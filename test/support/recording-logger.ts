import type { Logger } from '../../src/ports/logger.ts';

export interface LoggedLine {
  readonly level: string;
  readonly message: string;
  readonly fields: object;
}

/** Keeps what is logged, for tests that expect a line, and prints nothing. */
export class RecordingLogger implements Logger {
  readonly lines: LoggedLine[];
  readonly #fields: object;

  constructor(lines: LoggedLine[] = [], fields: object = {}) {
    this.lines = lines;
    this.#fields = fields;
  }

  trace(fields: object, message: string): void {
    this.#log('trace', fields, message);
  }

  debug(fields: object, message: string): void {
    this.#log('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#log('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#log('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#log('error', fields, message);
  }

  fatal(fields: object, message: string): void {
    this.#log('fatal', fields, message);
  }

  child(fields: object): Logger {
    return new RecordingLogger(this.lines, { ...this.#fields, ...fields });
  }

  #log(level: string, fields: object, message: string): void {
    this.lines.push({ level, message, fields: { ...this.#fields, ...fields } });
  }
}
