import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Timers } from '../../../src/ports/clock.ts';
import type { SimReport, SimTask } from './worker.ts';

/** A run takes well below a second of processor time; the machine may be busy. */
const ANSWER_MS_MAX = 600_000;

const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));

/** Processes that do one run at a time. One that dies or hangs counts as a failed run and is replaced. */
export class WorkerPool {
  readonly #timers: Timers;
  readonly #idle: ChildProcess[] = [];
  readonly #all = new Set<ChildProcess>();

  constructor(components: { readonly timers: Timers }) {
    this.#timers = components.timers;
  }

  async run(task: SimTask): Promise<SimReport> {
    const child = this.#idle.pop() ?? this.#fork();
    const report = await new Promise<SimReport>((resolve) => {
      const lost = (check: string, message: string): void => {
        finish();
        this.#all.delete(child);
        child.kill('SIGKILL');
        resolve({ seed: task.seed, digest: '', check, message, counts: {} });
      };
      const onExit = (code: number | null): void => lost('crash', `the process ended with ${code}`);
      const onMessage = (message: unknown): void => {
        finish();
        this.#idle.push(child);
        resolve(message as SimReport);
      };
      const timer = this.#timers.after(ANSWER_MS_MAX, () =>
        lost('hang', `the run did not end within ${ANSWER_MS_MAX} ms`),
      );
      const finish = (): void => {
        timer.cancel();
        child.off('exit', onExit);
        child.off('message', onMessage);
      };
      child.on('exit', onExit);
      child.on('message', onMessage);
      child.send(task);
    });
    return report;
  }

  close(): void {
    for (const child of this.#all) child.disconnect();
  }

  #fork(): ChildProcess {
    // One run takes one processor: V8's helper threads would only get in the way of the other runs.
    const child = fork(WORKER, [], {
      execArgv: ['--enable-source-maps', '--single-threaded-gc', '--min-semi-space-size=32'],
    });
    this.#all.add(child);
    return child;
  }
}
