import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

/** A C program, since Node has neither mmap nor fallocate nor flags of rename; compiled where the tests run. */
const SOURCE = resolve(import.meta.dirname, '../../../test/support/syscall-agent.c');

const ERRNO_NAMES = new Map<number, string>(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);
// Node knows the older of two names of the same number.
ERRNO_NAMES.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');
ERRNO_NAMES.set(constants.errno.EAGAIN, 'EAGAIN');

export interface Answer {
  /** What the system call returned; -1 when it failed. */
  readonly result: number;
  /** Name of the errno, or the empty string. */
  readonly errno: string;
  readonly data: Buffer;
}

export class CompiledAgent implements Disposable {
  readonly #dir = mkdtempSync(join(tmpdir(), 'ringfs-agent-'));
  readonly path = join(this.#dir, 'syscall-agent');

  constructor() {
    execFileSync('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', this.path, SOURCE]);
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true });
  }
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** A process that makes system calls in one directory, one after the other. */
export class SyscallAgent {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #waiting: Waiting[] = [];
  readonly #ended: Promise<void>;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  /** Length of the next answer, or 0 while its first line is not there. */
  #neededBytes = 0;
  #failure: Error | undefined;
  #stderr = '';

  constructor(compiled: CompiledAgent, directory: string) {
    this.#child = spawn(compiled.path, [directory], { stdio: 'pipe' });
    this.#child.stdout.on('data', (chunk: Buffer) => this.#receive(chunk));
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#child.stdin.on('error', () => {}); // the end of the process is reported below
    this.#ended = new Promise((done) => {
      this.#child.once('close', (code, signal) => {
        this.#failure = new Error(`the agent ended with ${signal ?? code}: ${this.#stderr}`);
        for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
        done();
      });
    });
  }

  /** One system call; rejects only when the process ends. Words hold no spaces. */
  call(words: readonly (string | number)[], data?: Uint8Array): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#waiting.push({ resolve, reject });
      this.#child.stdin.write(`${words.join(' ')} ${data?.length ?? 0}\n`);
      if (data !== undefined && data.length > 0) this.#child.stdin.write(data);
    });
  }

  /** Lets the process end; what it has open is closed. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.#ended;
  }

  #receive(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#receivedBytes += chunk.length;
    while (this.#receivedBytes > 0 && this.#receivedBytes >= this.#neededBytes) {
      const all = this.#received.length === 1 ? this.#received[0]! : Buffer.concat(this.#received);
      this.#received = [all];
      const end = all.indexOf(10);
      if (end < 0) return;
      const [result, errno, length] = all.subarray(0, end).toString('latin1').split(' ').map(Number);
      this.#neededBytes = end + 1 + length!;
      if (all.length < this.#neededBytes) return;
      const data = all.subarray(end + 1, this.#neededBytes);
      const rest = all.subarray(this.#neededBytes);
      this.#received = rest.length > 0 ? [rest] : [];
      this.#receivedBytes = rest.length;
      this.#neededBytes = 0;
      const name = errno === 0 ? '' : (ERRNO_NAMES.get(errno!) ?? `errno ${errno}`);
      this.#waiting.shift()!.resolve({ result: result!, errno: name, data });
    }
  }
}
