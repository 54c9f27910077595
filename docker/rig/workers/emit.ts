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
    emit({ kind: 'failed', what, ms: Math.round(performance.now() - start), error: text.slice(0, 300) });
    return undefined;
  }
}

/** What comes in on standard input, until it ends. */
export class Inbox {
  /** Path and hash, in the order of arrival. */
  readonly #waiting = new Map<string, string>();
  readonly #forgotten = new Set<string>();
  ended = false;

  constructor() {
    const lines = createInterface({ input: process.stdin });
    lines.on('line', (line) => this.#onLine(JSON.parse(line) as ToRead));
    lines.once('close', () => {
      this.ended = true;
    });
  }

  #onLine({ path, sha256 }: ToRead): void {
    if (sha256 !== null) {
      this.#waiting.set(path, sha256);
      return;
    }
    this.#waiting.delete(path);
    this.#forgotten.add(path);
  }

  take(): { readonly path: string; readonly sha256: string } | undefined {
    const [next] = this.#waiting;
    if (next === undefined) return undefined;
    this.#waiting.delete(next[0]);
    return { path: next[0], sha256: next[1] };
  }

  /** Whether the file need not be there any more. */
  isForgotten(path: string): boolean {
    return this.#forgotten.has(path);
  }
}
