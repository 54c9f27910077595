import type { Logger } from '../../src/ports/logger.ts';

export interface LoggedLine {
  readonly level: string;
  readonly message: string;
  readonly fields: object;
}

/** Keeps what is logged, for tests that look at it. */
export class QuietLogger implements Logger {
  readonly lines: LoggedLine[] = [];

  trace(fields: object, message: string): void {
    this.#add('trace', fields, message);
  }
  debug(fields: object, message: string): void {
    this.#add('debug', fields, message);
  }
  info(fields: object, message: string): void {
    this.#add('info', fields, message);
  }
  warn(fields: object, message: string): void {
    this.#add('warn', fields, message);
  }
  error(fields: object, message: string): void {
    this.#add('error', fields, message);
  }
  fatal(fields: object, message: string): void {
    this.#add('fatal', fields, message);
  }
  child(): Logger {
    return this;
  }

  has(message: string): boolean {
    return this.lines.some((line) => line.message === message);
  }

  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, message, fields });
  }
}
