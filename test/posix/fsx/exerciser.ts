import { constants } from 'node:fs';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import type { Answer, SyscallAgent } from '../../support/syscall-agent.ts';
import { FsxModel } from './model.ts';

/** What a file system may refuse, or may be known not to do right. Found out by trying, except `mapped-append`. */
export const FEATURES = [
  'allocate',
  'keep-size',
  'punch',
  'zero',
  'copy',
  'seek-data',
  'direct',
  'append',
  'mapped-append',
] as const;
export type Feature = (typeof FEATURES)[number];

export interface FsxOptions {
  readonly seed: number;
  /** The file is never longer than this, not counting what is before the base. */
  readonly sizeMax: number;
  /** Everything happens behind a hole of this length: a multiple of the page. */
  readonly base?: number;
  /** Only one process has the file open at a time, and reads all of it first: for agents on different mounts. */
  readonly handOver?: boolean;
  readonly without?: readonly Feature[];
  /** Gets a line for each feature that is left out. */
  readonly say?: (line: string) => void;
}

/** A process with the file open. */
export interface Worker {
  readonly index: number;
  readonly agent: SyscallAgent;
  fd: number;
  flags: number;
}

export interface Operation {
  readonly name: string;
  readonly weight: number;
  readonly needs?: Feature;
  able?(run: Exerciser, worker: Worker): boolean;
  run(run: Exerciser, worker: Worker): Promise<void>;
}

interface Components {
  /** One for each process. */
  readonly agents: readonly SyscallAgent[];
  readonly operations: readonly Operation[];
}

interface Logged {
  readonly number: number;
  readonly text: string;
  readonly from: number;
  readonly to: number;
}

/** The file is not what it should be, with everything that is needed to find out why. */
export class FsxDifference extends Error {
  override readonly name = 'FsxDifference';
}

const LOGGED_MAX = 20_000;
const SHOWN_LAST = 40;
const SHOWN_OF_PLACE = 40;
export const PAGE_BYTES = 4096;
export const FILE_NAME = 'fsx-file';
/** Operations of one process before the next one may have the file. */
const TURN_OPERATIONS_MAX = 12;

/** Random operations on one file, each checked against a model, by one or several processes, one at a time. */
export class Exerciser {
  readonly random: Random;
  readonly model: FsxModel;
  readonly base: number;
  readonly sizeMax: number;
  readonly features = new Set<Feature>(FEATURES);
  readonly counts = new Map<string, number>();
  readonly #workers: readonly Worker[];
  readonly #options: FsxOptions;
  readonly #operations: readonly Operation[];
  readonly #log: Logged[] = [];
  operation = 0;
  /** The turn's process, under hand-over. */
  #turn: Worker | undefined;
  #turnLeft = 0;

  constructor({ agents, operations }: Components, options: FsxOptions) {
    this.#operations = operations;
    this.random = seededRandom(options.seed);
    this.model = new FsxModel(options.sizeMax);
    this.base = options.base ?? 0;
    this.sizeMax = options.sizeMax;
    this.#options = options;
    this.#workers = agents.map((agent, index) => ({ index, agent, fd: -1, flags: 0 }));
    if (this.base % PAGE_BYTES !== 0) throw new Error('the base is no multiple of the page');
  }

  /** Makes the file and finds out what the file system can do. */
  async start(): Promise<void> {
    for (const feature of this.#options.without ?? []) this.#leaveOut(feature, 'as asked');
    const first = this.#workers[0]!;
    await this.#probe(first);
    const { O_CREAT, O_RDWR } = constants;
    const made = await first.agent.call(['open', FILE_NAME, O_CREAT | O_RDWR, 0o644]);
    if (made.result < 0) this.fail(`the file could not be made: ${made.errno}`);
    const resized = await first.agent.call(['ftruncate', made.result, this.base]);
    if (resized.result < 0) this.fail(`ftruncate to the base: ${resized.errno}`);
    await first.agent.call(['close', made.result]);
    if (this.#options.handOver !== true) for (const worker of this.#workers) await this.open(worker);
  }

  /** `count` operations. */
  async run(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.#step();
  }

  /** Closes everything and reads it all once more through every process. */
  async finish(): Promise<void> {
    for (const worker of this.#workers) if (worker.fd >= 0) await this.close(worker);
    this.#turn = undefined;
    for (const worker of this.#workers) {
      this.operation++;
      await this.open(worker, constants.O_RDONLY);
      await this.verify(worker);
      await this.close(worker);
    }
  }

  async #step(): Promise<void> {
    this.operation++;
    const worker = await this.#nextWorker();
    const operation = this.#someOperation(worker);
    this.counts.set(operation.name, (this.counts.get(operation.name) ?? 0) + 1);
    await operation.run(this, worker);
  }

  #someOperation(worker: Worker): Operation {
    const able = this.#operations.filter((operation) => this.#isAble(operation, worker));
    let at = this.random.below(able.reduce((sum, { weight }) => sum + weight, 0));
    for (const operation of able) {
      at -= operation.weight;
      if (at < 0) return operation;
    }
    throw new Error('no operation is possible');
  }

  #isAble(operation: Operation, worker: Worker): boolean {
    if (operation.needs !== undefined && !this.features.has(operation.needs)) return false;
    return operation.able?.(this, worker) ?? true;
  }

  async #nextWorker(): Promise<Worker> {
    const pick = (): Worker => this.#workers[this.random.below(this.#workers.length)]!;
    if (this.#options.handOver !== true) return pick();
    if (this.#turn !== undefined && this.#turnLeft-- > 0) return this.#turn;
    if (this.#turn !== undefined) await this.close(this.#turn);
    this.#turn = pick();
    this.#turnLeft = this.random.below(TURN_OPERATIONS_MAX);
    await this.open(this.#turn);
    await this.verify(this.#turn);
    return this.#turn;
  }

  /** With random flags, unless they are given. */
  async open(worker: Worker, flags: number = this.#someFlags()): Promise<void> {
    this.log(worker, `open flags 0${flags.toString(8)}`);
    const opened = await worker.agent.call(['open', FILE_NAME, flags, 0]);
    if (opened.result < 0) this.fail(`open: ${opened.errno}`);
    worker.fd = opened.result;
    worker.flags = flags;
    await this.checkSize(worker);
  }

  async close(worker: Worker): Promise<void> {
    this.log(worker, 'close');
    await this.call(worker, ['close', worker.fd]);
    worker.fd = -1;
  }

  #someFlags(): number {
    const { O_RDWR, O_APPEND, O_SYNC, O_DIRECT } = constants;
    const kind = this.random.below(10);
    const alone = this.#workers.length === 1 || this.#options.handOver === true;
    // The kernel writes a mapping back through any descriptor of the file.
    const mayAppend = this.features.has('append') && (alone || this.features.has('mapped-append'));
    if (kind === 0 && mayAppend) return O_RDWR | O_APPEND;
    if (kind === 1) return O_RDWR | O_SYNC;
    // Linux promises no coherence between O_DIRECT and mappings of others.
    if (kind === 2 && alone && this.features.has('direct')) return O_RDWR | O_DIRECT;
    return O_RDWR;
  }

  /** Reads everything and compares it. */
  async verify(worker: Worker): Promise<void> {
    this.log(worker, `verify ${this.model.size} bytes`);
    await this.checkSize(worker);
    const { data } = await this.call(worker, ['pread', worker.fd, this.base, this.model.size + PAGE_BYTES]);
    this.check(0, data, this.model.size + PAGE_BYTES, 'verify');
  }

  async checkSize(worker: Worker): Promise<void> {
    const { data } = await this.call(worker, ['fstat', worker.fd]);
    const size = Number(data.toString().split(' ')[4]);
    if (size !== this.base + this.model.size)
      this.fail(`st_size is ${size}, not ${this.base + this.model.size}`);
  }

  /** A read of `length` bytes at `from` gave `got`. */
  check(from: number, got: Buffer, length: number, what: string): void {
    const expected = this.model.slice(from, from + length).length;
    const different = this.model.difference(from, got);
    if (different !== undefined) this.fail(`${what}: ${different.text}`, different.at);
    if (got.length !== expected)
      this.fail(`${what}: ${got.length} bytes instead of ${expected}`, from + got.length);
  }

  /** A system call that must succeed. */
  async call(worker: Worker, words: readonly (string | number)[], data?: Uint8Array): Promise<Answer> {
    let answer: Answer;
    try {
      answer = await worker.agent.call(words, data);
    } catch (error) {
      return this.fail(`${words[0]}: ${(error as Error).message}`);
    }
    if (answer.result < 0) this.fail(`${words[0]}: ${answer.errno}`);
    return answer;
  }

  log(worker: Worker, text: string, from = 0, to = 0): void {
    this.#log.push({ number: this.operation, text: `process ${worker.index} ${text}`, from, to });
    if (this.#log.length > 2 * LOGGED_MAX) this.#log.splice(0, LOGGED_MAX);
  }

  fail(what: string, at?: number): never {
    const line = (entry: Logged): string => {
      const range = entry.to > entry.from ? ` ${entry.from}..${entry.to}` : '';
      return `  #${entry.number} ${entry.text}${range}`;
    };
    const last = this.#log.slice(-SHOWN_LAST).map(line);
    const touching = this.#log.filter(({ from, to }) => at !== undefined && from <= at && at < to);
    const { seed, sizeMax, handOver } = this.#options;
    const lines = [
      `operation ${this.operation}: ${what}${at === undefined ? '' : ` (at ${at})`}`,
      `seed ${seed}, size ${sizeMax}, base ${this.base}, ${this.#workers.length} processes${handOver ? ', hand-over' : ''}`,
      ...(touching.length > 0 ? [`the last operations on ${at}:`] : []),
      ...touching.slice(-SHOWN_OF_PLACE).map(line),
      'the last operations:',
      ...last,
    ];
    throw new FsxDifference(lines.join('\n'));
  }

  // What the file system can do -------------------------------------------------------------------------------

  #leaveOut(feature: Feature, reason: string): void {
    if (!this.features.delete(feature)) return;
    this.#options.say?.(`fsx: LEFT OUT: ${feature} (${reason})`);
  }

  async #probe({ agent }: Worker): Promise<void> {
    const { O_CREAT, O_RDWR, O_DIRECT } = constants;
    const name = 'fsx-probe';
    const { result: fd } = await agent.call(['open', name, O_CREAT | O_RDWR, 0o644]);
    await agent.call(['pwrite', fd, 0], Buffer.alloc(3 * PAGE_BYTES, 1));
    const refusals: [Feature, readonly (string | number)[]][] = [
      ['allocate', ['fallocate', fd, 0, 0, PAGE_BYTES]],
      ['keep-size', ['fallocate', fd, 1, 0, 4 * PAGE_BYTES]],
      ['punch', ['fallocate', fd, 3, 1, PAGE_BYTES]],
      ['zero', ['fallocate', fd, 16, 1, PAGE_BYTES]],
      ['copy', ['copyrange', fd, 0, fd, PAGE_BYTES, PAGE_BYTES]],
      ['seek-data', ['lseek', fd, 0, 3]],
    ];
    for (const [feature, words] of refusals) {
      const { result, errno } = await agent.call(words);
      if (result >= 0) continue;
      if (!['EOPNOTSUPP', 'ENOSYS', 'EINVAL'].includes(errno)) this.fail(`probing ${feature}: ${errno}`);
      this.#leaveOut(feature, errno);
    }
    await agent.call(['close', fd]);
    // O_DIRECT as RingFS has it, without alignment.
    const direct = await agent.call(['open', name, O_RDWR | O_DIRECT, 0]);
    const odd = direct.result < 0 ? direct : await agent.call(['pread', direct.result, 1, 5]);
    if (odd.result < 0) this.#leaveOut('direct', odd.errno);
    if (direct.result >= 0) await agent.call(['close', direct.result]);
    await agent.call(['unlink', name]);
  }
}
