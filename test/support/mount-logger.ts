import type { Logger } from '../../src/ports/logger.ts';

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;

function describe(fields: object): string {
  return JSON.stringify(fields, (_key, value: unknown) =>
    value instanceof Error
      ? { message: value.message, stack: value.stack, cause: value.cause }
      : typeof value === 'bigint'
        ? String(value)
        : value,
  );
}

/** Writes lines from `level` on through `write`. */
export function lineLogger(
  level: (typeof LEVELS)[number],
  write: (line: string) => void,
  bound: object = {},
): Logger {
  const from = LEVELS.indexOf(level);
  const at =
    (name: (typeof LEVELS)[number]) =>
    (fields: object, message: string): void => {
      if (LEVELS.indexOf(name) >= from) write(`${name} ${message} ${describe({ ...bound, ...fields })}`);
    };
  return {
    trace: at('trace'),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: (fields) => lineLogger(level, write, { ...bound, ...fields }),
  };
}
