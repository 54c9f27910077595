import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { checkLinearizable } from '../../test/support/linearizability.ts';
import { historyOf, nameModel } from './name-model.ts';
import type { Rig } from './rig.ts';
import type { Acknowledged, NameOperation, ToRead, WorkerEvent } from './workers/protocol.ts';

/** On every mount one of each. */
const KINDS = ['writer', 'reader', 'appender', 'names', 'committer', 'banker', 'counter'] as const;
/** Work that is one operation on one file; the rest are programs that make many, one after the other. */
const SINGLE_OPERATIONS: readonly string[] = ['write', 'read', 'append', 'names'];
const ERRORS_TOLD_MAX = 20;

/** How a kind of work fared. */
export interface WorkTally {
  done: number;
  failed: number;
  /** The longest that one operation took, failed ones included, in milliseconds. */
  longestMs: number;
}

/** What the workload saw. Nothing acknowledged may be lost, and nothing read may be wrong, whatever fails. */
export interface Verdict {
  readonly operations: number;
  readonly failed: number;
  /** Of the work that is one operation on one file. */
  readonly longestStallMs: number;
  readonly acknowledged: number;
  /** Acknowledged and not there, or there and wrong: what was found, in words. */
  readonly wrong: readonly string[];
  readonly errors: readonly string[];
  readonly work: Readonly<Record<string, WorkTally>>;
  /** Of the recorded operations on names. */
  readonly linearizability: {
    readonly operations: number;
    readonly unknown: number;
    readonly violations: readonly string[];
    /** All operations on the directories of the violations. */
    readonly evidence: readonly (readonly NameOperation[])[];
  };
}

/** What the work saw in one second: the operations that ended in it. */
export interface Second {
  done: number;
  failed: number;
  /** The longest of those that are one operation on one file, in milliseconds. */
  longestMs: number;
}

interface Worker {
  readonly mount: string;
  readonly kind: string;
  readonly process: ChildProcess;
  readonly ended: Promise<unknown>;
  /** An operation on names that it has begun. */
  underWay: NameOperation | undefined;
  done: boolean;
}

/** Work on all mounts of a rig that checks itself, from `start` to `finish`. */
export class Workload {
  readonly #rig: Rig;
  readonly #workers: Worker[] = [];
  readonly #tallies: Record<string, WorkTally> = {};
  readonly #changes = new Map<string, number>();
  readonly #wrong: string[] = [];
  readonly #errors: string[] = [];
  readonly #history: NameOperation[] = [];
  readonly #files = new Map<string, string>();
  readonly #records: string[] = [];
  readonly #commits: [string, string][] = [];
  readonly #transfers: string[] = [];
  readonly seconds: Second[] = [];
  readonly #startMs = performance.now();
  #counted = 0;
  #maybeCounted = 0;
  #written = 0;
  #begun = 0;
  #finishing = false;

  private constructor(rig: Rig) {
    this.#rig = rig;
  }

  static async start(rig: Rig): Promise<Workload> {
    const workload = new Workload(rig);
    await workload.#runToEnd(rig.mounts[0]!, 'prepare', '');
    for (const mount of rig.mounts) for (const kind of KINDS) workload.#begin(mount, kind);
    return workload;
  }

  /** Operations that have ended so far, for a scenario that waits until work goes on. */
  get operations(): number {
    return Object.values(this.#tallies).reduce((sum, { done }) => sum + done, 0);
  }

  /** Of these, those of `mount` that do not only read a file: it does not get on with them when it can make no changes. */
  changesOn(mount: string): number {
    return this.#changes.get(mount) ?? 0;
  }

  get elapsedMs(): number {
    return Math.round(performance.now() - this.#startMs);
  }

  /** Begins anew what died with its machine. */
  revive(mount: string): void {
    for (const kind of KINDS) {
      const works = this.#workers.some((w) => w.mount === mount && w.kind === kind && !w.done);
      if (!works) this.#begin(mount, kind);
    }
  }

  /** Ends the work, looks on every mount for all that was acknowledged, and judges. */
  async finish(): Promise<Verdict> {
    this.#finishing = true;
    for (const { process: child } of this.#workers) child.stdin?.end();
    await Promise.all(this.#workers.map(({ ended }) => ended));
    for (const mount of this.#rig.mounts)
      await this.#runToEnd(mount, 'check', JSON.stringify(this.#acknowledged()));
    return this.#verdict();
  }

  /** Ends everything without a verdict. */
  abandon(): void {
    this.#finishing = true;
    for (const { process: child } of this.#workers) child.kill('SIGKILL');
  }

  #begin(mount: string, kind: string): Worker {
    // Each has a name of its own: one that begins anew begins to count anew.
    const child = this.#rig.worker(mount, [kind, `${kind}-${mount}-${this.#begun++}`]);
    const ended = once(child, 'close');
    const worker: Worker = { mount, kind, process: child, ended, underWay: undefined, done: false };
    child.once('close', () => this.#onEnd(worker));
    // A worker that is killed with its machine has nobody to write to.
    child.stdin?.on('error', () => undefined);
    const lines = createInterface({ input: child.stdout! });
    lines.on('line', (line) => this.#onEvent(worker, JSON.parse(line) as WorkerEvent));
    this.#workers.push(worker);
    return worker;
  }

  async #runToEnd(mount: string, kind: string, input: string): Promise<void> {
    const worker = this.#begin(mount, kind);
    worker.process.stdin?.end(input);
    const [code] = (await worker.ended) as [number | null];
    if (code !== 0) this.#wrong.push(`${kind} on ${mount} could not be done`);
  }

  /** What it had under way may have taken effect. */
  #onEnd(worker: Worker): void {
    worker.done = true;
    if (worker.underWay !== undefined) this.#history.push(worker.underWay);
    if (worker.kind === 'counter' && !this.#finishing) this.#maybeCounted++;
  }

  #onEvent(worker: Worker, event: WorkerEvent): void {
    const { mount, kind } = worker;
    switch (event.kind) {
      case 'done':
      case 'failed':
        this.#tally(mount, event);
        break;
      case 'wrong':
        this.#wrong.push(`${mount}: ${event.what}: ${event.detail}`);
        break;
      case 'acknowledged':
        this.#onAcknowledged(mount, kind, event.key, event.value);
        break;
      case 'forgotten':
        this.#onForgotten(mount, event.key);
        break;
      case 'begun':
        worker.underWay = event.operation;
        break;
      case 'history':
        worker.underWay = undefined;
        this.#history.push(event.operation);
        break;
    }
  }

  #tally(mount: string, event: Extract<WorkerEvent, { kind: 'done' | 'failed' }>): void {
    this.#tallies[event.what] ??= { done: 0, failed: 0, longestMs: 0 };
    const tally = this.#tallies[event.what]!;
    tally.longestMs = Math.max(tally.longestMs, event.ms);
    this.#count(event);
    if (event.kind === 'done') {
      tally.done++;
      if (event.what !== 'read') this.#changes.set(mount, this.changesOn(mount) + 1);
      return;
    }
    tally.failed++;
    if (event.what === 'lock') this.#maybeCounted++;
    if (this.#errors.length < ERRORS_TOLD_MAX) this.#errors.push(`${mount}: ${event.what}: ${event.error}`);
    // What cannot be looked at is not known to be there.
    if (event.what.startsWith('check')) this.#wrong.push(`${mount}: ${event.what} failed: ${event.error}`);
  }

  #count({ what, ms, kind }: Extract<WorkerEvent, { kind: 'done' | 'failed' }>): void {
    if (this.#finishing) return;
    const at = Math.floor(this.elapsedMs / 1000);
    while (this.seconds.length <= at) this.seconds.push({ done: 0, failed: 0, longestMs: 0 });
    const second = this.seconds[at]!;
    second[kind]++;
    if (SINGLE_OPERATIONS.includes(what)) second.longestMs = Math.max(second.longestMs, ms);
  }

  #tellReaders(mount: string, line: ToRead): void {
    for (const reader of this.#workers) {
      if (reader.kind !== 'reader' || reader.mount === mount || reader.process.stdin?.writable !== true)
        continue;
      reader.process.stdin.write(`${JSON.stringify(line)}\n`);
    }
  }

  #onForgotten(mount: string, key: string): void {
    this.#files.delete(key);
    this.#tellReaders(mount, { path: key, sha256: null });
  }

  #onAcknowledged(mount: string, kind: string, key: string, value: string): void {
    if (kind === 'writer') {
      this.#files.set(key, value);
      this.#written++;
      this.#tellReaders(mount, { path: key, sha256: value });
    } else if (kind === 'appender') this.#records.push(key);
    else if (kind === 'committer') this.#commits.push([key, value]);
    else if (kind === 'banker') this.#transfers.push(key);
    else this.#counted++;
  }

  #acknowledged(): Acknowledged {
    return {
      files: [...this.#files],
      records: this.#records,
      commits: this.#commits,
      transfers: this.#transfers,
      counted: this.#counted,
      maybeCounted: this.#maybeCounted,
    };
  }

  #verdict(): Verdict {
    const tallies = Object.values(this.#tallies);
    const linearizability = this.#linearizability();
    return {
      operations: this.operations,
      failed: tallies.reduce((sum, { failed }) => sum + failed, 0),
      longestStallMs: Math.max(0, ...SINGLE_OPERATIONS.map((what) => this.#tallies[what]?.longestMs ?? 0)),
      acknowledged:
        this.#written + this.#records.length + this.#commits.length + this.#transfers.length + this.#counted,
      wrong: [...this.#wrong, ...linearizability.violations],
      errors: this.#errors,
      work: this.#tallies,
      linearizability,
    };
  }

  /** Each directory is a history of its own. */
  #linearizability(): Verdict['linearizability'] {
    const byDirectory = new Map<string, NameOperation[]>();
    for (const operation of this.#history) {
      const operations = byDirectory.get(operation.directory) ?? [];
      operations.push(operation);
      byDirectory.set(operation.directory, operations);
    }
    let unknown = 0;
    const violations: string[] = [];
    const evidence: NameOperation[][] = [];
    for (const [directory, operations] of byDirectory) {
      const { verdict, stuck } = checkLinearizable(nameModel, historyOf(operations));
      if (verdict === 'unknown') unknown++;
      if (verdict === 'violation') {
        violations.push(`${directory} has no order that explains ${JSON.stringify(stuck.slice(0, 5))}`);
        evidence.push(operations);
      }
    }
    return { operations: this.#history.length, unknown, violations, evidence };
  }
}
