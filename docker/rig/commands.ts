import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const OUTPUT_BYTES_MAX = 64 << 20;

/** A command ended badly. `status`: how; undefined when it could not be started. */
export class CommandError extends Error {
  readonly status: number | undefined;

  constructor(message: string, status: number | undefined, cause: unknown) {
    super(message, { cause });
    this.status = status;
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Runs a command to its end. Throws CommandError with what it printed. */
export async function sh(command: string, ...args: readonly string[]): Promise<string> {
  try {
    return (await run(command, args, { maxBuffer: OUTPUT_BYTES_MAX })).stdout;
  } catch (error) {
    const { stderr, code } = error as { stderr?: string; code?: unknown };
    const status = typeof code === 'number' ? code : undefined;
    throw new CommandError(`${command} ${args.join(' ')}: ${stderr?.trim() || String(error)}`, status, error);
  }
}

/** Polls until `condition` resolves with true; a rejection counts as false. Throws after `timeoutMs`, with the last rejection. */
export async function until(
  what: string,
  timeoutMs: number,
  condition: () => Promise<boolean>,
): Promise<void> {
  const end = performance.now() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      if (await condition()) return;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`, { cause });
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}
