import { setImmediate } from 'node:timers/promises';
import { seededRandom } from '../../src/base/random.ts';
import { MetaServer, type MetaServerOptions } from '../../src/meta/meta-server.ts';
import type { HasCopies } from '../../src/meta/removal-cost.ts';
import type { Instant, TimerHandle, Timers } from '../../src/ports/clock.ts';
import type { Logger } from '../../src/ports/logger.ts';
import { MemoryReplica } from './memory-replica.ts';
import type { NamespaceMachine } from './namespace-machine.ts';
import { StubMetaClient } from './stub-meta-client.ts';
import { VirtualTimers } from './virtual-timers.ts';

export interface LogLine {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

/** Keeps every line above debug. */
export class LineLogger implements Logger {
  readonly lines: LogLine[] = [];
  trace(): void {}
  debug(): void {}
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
  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields: fields as Record<string, unknown>, message });
  }
}

/** Virtual time of a process that stands still now and then: its clock goes on, its timers fire late. */
export class SuspendableTimers implements Timers {
  readonly #inner: VirtualTimers;
  #suspendedMs = 0;

  constructor(inner: VirtualTimers) {
    this.#inner = inner;
  }

  suspend(ms: number): void {
    this.#suspendedMs += ms;
  }

  nowMs(): number {
    return this.#inner.nowMs() + this.#suspendedMs;
  }

  wallTime(): Instant {
    return this.#inner.wallTime();
  }

  after(delayMs: number, callback: () => void): TimerHandle {
    return this.#inner.after(delayMs, callback);
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return this.#inner.sleep(delayMs, signal);
  }
}

/** A meta server over a replica in memory. */
export class MetaServerFixture {
  readonly timers: VirtualTimers;
  readonly clock: SuspendableTimers;
  readonly logger = new LineLogger();
  readonly replica: MemoryReplica;
  readonly server: MetaServer;

  constructor(
    options: MetaServerOptions = {},
    shared: {
      readonly id?: string;
      readonly timers?: VirtualTimers;
      readonly machine?: NamespaceMachine;
      readonly hasCopies?: HasCopies;
    } = {},
  ) {
    this.timers = shared.timers ?? new VirtualTimers();
    this.clock = new SuspendableTimers(this.timers);
    this.replica = new MemoryReplica(shared.id ?? 's1', shared.machine);
    if (shared.machine === undefined) this.replica.init();
    this.server = new MetaServer(
      {
        replica: this.replica,
        timers: this.clock,
        random: seededRandom(1),
        logger: this.logger,
        ...(shared.hasCopies && { hasCopies: shared.hasCopies }),
      },
      options,
    );
    this.server.start();
  }

  stub(): StubMetaClient {
    return new StubMetaClient(this.server.accept);
  }

  /** A client with a session; `leased`: with a valid lease. */
  async client(leased = true): Promise<StubMetaClient> {
    const client = this.stub();
    await client.hello();
    if (leased) await client.ping();
    return client;
  }
}

/** A leader that has waited its new leader's time. */
export async function leaderFixture(options: MetaServerOptions = {}): Promise<MetaServerFixture> {
  const fixture = new MetaServerFixture(options);
  fixture.replica.becomeLeader();
  await turn();
  return fixture;
}

/** Everything that can happen without time passing has happened. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 3; i++) await setImmediate();
}

/** Whether a promise has been settled, for tests that expect it to wait. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const done = (): void => {
    settled = true;
  };
  promise.then(done, done);
  await turn();
  return settled;
}
