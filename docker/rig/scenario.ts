import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from '../../src/base/random.ts';
import type { ClusterSpec } from './cluster.ts';
import { until } from './commands.ts';
import type { ClusterStatus, Rig } from './rig.ts';
import type { Workload } from './workload.ts';

const WAIT_MS = 120_000;
const WHOLE_MS = 300_000;
/** More than may be under way: some have begun later. */
const CHANGES_OF_WORK = 20;

/** What a scenario does is written down with its moment, in milliseconds since the work began. */
export interface TimelineEntry {
  readonly atMs: number;
  readonly what: string;
}

/** All that was done, in order. Whoever waits for the end is told of each entry. */
export class Timeline {
  readonly entries: TimelineEntry[] = [];
  readonly #onEntry: (entry: TimelineEntry) => void;

  constructor(onEntry: (entry: TimelineEntry) => void) {
    this.#onEntry = onEntry;
  }

  add(entry: TimelineEntry): void {
    this.entries.push(entry);
    this.#onEntry(entry);
  }
}

/** Something was broken, or not whole yet. */
export interface Span {
  readonly what: string;
  readonly fromMs: number;
  readonly mendedMs: number;
  readonly wholeMs: number;
}

export interface StageOptions {
  /** Stretches every wait. */
  readonly scale: number;
  /** Chooses which machine it hits where several would do. */
  readonly random: Random;
}

/** What a scenario works with while the workload runs. */
export class Stage {
  readonly rig: Rig;
  readonly workload: Workload;
  readonly timeline: Timeline;
  readonly spans: Span[] = [];
  readonly #options: StageOptions;

  constructor(rig: Rig, workload: Workload, timeline: Timeline, options: StageOptions) {
    this.rig = rig;
    this.workload = workload;
    this.timeline = timeline;
    this.#options = options;
  }

  get elapsedMs(): number {
    return this.workload.elapsedMs;
  }

  note(what: string): void {
    this.timeline.add({ atMs: this.elapsedMs, what });
  }

  /** Leaves things as they are for a while. */
  async hold(seconds: number): Promise<void> {
    await sleep(seconds * 1000 * this.#options.scale);
  }

  /** One of several that would do. */
  some(names: readonly string[]): string {
    const name = names[this.#options.random.below(names.length)];
    if (name === undefined) throw new Error('this cluster has no such machine');
    return name;
  }

  async leader(): Promise<string> {
    let leader: string | null = null;
    await until('there is a leader', WAIT_MS, async () => {
      ({ leader } = await this.rig.status());
      return leader !== null;
    });
    return leader!;
  }

  async followers(): Promise<string[]> {
    const leader = await this.leader();
    return this.rig.metas.filter((server) => server !== leader);
  }

  /** Until another server than this one leads. */
  async otherLeader(than: string): Promise<string> {
    let leader: string | null = null;
    await until(`another leads than ${than}`, WAIT_MS, async () => {
      ({ leader } = await this.rig.status());
      return leader !== null && leader !== than;
    });
    return leader!;
  }

  /** Until `mount` has made further changes. */
  async worksOn(mount: string): Promise<void> {
    const before = this.workload.changesOn(mount);
    await until(`${mount} makes changes`, WAIT_MS, async () => {
      return this.workload.changesOn(mount) >= before + CHANGES_OF_WORK;
    });
  }

  /** Until every server is healthy, has applied what the others have, and every block has all its copies. */
  async whole(): Promise<void> {
    let missing = '';
    try {
      await until('the cluster is whole', WHOLE_MS, async () => {
        missing = missingIn(await this.rig.status(), this.rig.servers);
        return missing === '';
      });
    } catch (error) {
      throw new Error(`${(error as Error).message}: ${missing}`, { cause: error });
    }
  }

  /** Breaks something and mends it, then waits until the cluster is whole. */
  async during(what: string, run: () => Promise<void>): Promise<void> {
    const fromMs = this.elapsedMs;
    await run();
    const mendedMs = this.elapsedMs;
    await this.whole();
    this.note('the cluster is whole');
    this.spans.push({ what, fromMs, mendedMs, wholeMs: this.elapsedMs });
  }

  /** Mounts again what was killed, and has the work of those go on whose programs died with it. */
  async remount(mount: string): Promise<void> {
    await this.rig.start(mount);
    this.workload.revive(mount);
  }
}

/** How far a replica may be behind while work goes on. */
const LAG_ENTRIES_MAX = 1_000;

/** What keeps the cluster from being whole; empty when nothing does. */
function missingIn({ servers }: ClusterStatus, expected: readonly string[]): string {
  const reports = servers.filter(({ id }) => expected.includes(id));
  for (const id of expected) if (!reports.some((report) => report.id === id)) return `${id} is not there`;
  for (const { id, health, detail, ring } of reports) {
    if (health !== 'ok') return `${id} is ${health} ${detail}`;
    if (ring === null) return `${id} is not in the ring`;
    if (ring.underReplicated > 0) return `${id} misses ${ring.underReplicated} copies`;
  }
  const applied = reports.flatMap(({ raft }) => (raft === null ? [] : [raft.appliedIndex]));
  const lag = Math.max(...applied) - Math.min(...applied);
  return lag <= LAG_ENTRIES_MAX ? '' : `a replica is ${lag} entries behind`;
}

export interface Scenario {
  readonly name: string;
  /** One line for `--list`. */
  readonly summary: string;
  /** What it needs beyond CLUSTER_DEFAULT. */
  readonly cluster?: Partial<ClusterSpec>;
  /** How chaos may use it: `servers` one at a time, `mount` beside one of those. Absent: not at all. */
  readonly chaos?: 'servers' | 'mount';
  /** It has spans of its own (Stage.during), and is not one itself. */
  readonly marksSpans?: boolean;
  /** Breaks things and mends them. The workload runs before, meanwhile and after. */
  run(stage: Stage): Promise<void>;
}
