import { createInterface } from 'node:readline';
import type { ToRead, WorkerEvent } from './protocol.ts';

export function emit(event: WorkerEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

/** Runs `operation` and tells how it went. Undefined: it failed. */
export async function told<T>(what: string, operation: () => Promise<T>): Promise<T | undefined> {
  const start = performance.now();
  try {
    const value = await operation();
    emit({ kind: 'done', what, ms: Math.round(performance.now() - start) });
    return value;
  } catch (error) {
    // A program that ended badly has its status as its code: what it said tells more.
    const { code, message } = error as NodeJS.ErrnoException;
    const text = typeof code === 'string' ? code : message;
    error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? error.message) : String(error);
    emit({ kind: 'failed', what, ms: Math.round(performance.now() - start), error: text.slice(0, 300) });
    return undefined;
  }
}

/** What comes in on standard input, until it ends. */
export class Inbox {
  readonly #waiting: ToRead[] = [];
  ended = false;

  constructor() {
    const lines = createInterface({ input: process.stdin });
    lines.on('line', (line) => this.#waiting.push(JSON.parse(line) as ToRead));
    lines.once('close', () => {
      this.ended = true;
    });
  }

  take(): ToRead | undefined {
    return this.#waiting.shift();
  }
}
