import { setTimeout as sleep } from 'node:timers/promises';
import { until } from './commands.ts';
import type { ClusterStatus, Rig } from './rig.ts';

const WAIT_MS = 120_000;

/** What a scenario does is written down with its moment, in milliseconds since it began. */
export interface TimelineEntry {
  readonly atMs: number;
  readonly what: string;
}

/** What a scenario works with while the workload runs. */
export class Stage {
  readonly rig: Rig;
  readonly timeline: TimelineEntry[] = [];
  readonly #startMs = performance.now();
  readonly #scale: number;

  /** `scale` stretches every wait. */
  constructor(rig: Rig, scale: number) {
    this.rig = rig;
    this.#scale = scale;
  }

  get elapsedMs(): number {
    return Math.round(performance.now() - this.#startMs);
  }

  note(what: string): void {
    this.timeline.push({ atMs: this.elapsedMs, what });
  }

  /** Leaves things as they are for a while. */
  async hold(seconds: number): Promise<void> {
    await sleep(seconds * 1000 * this.#scale);
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
    return this.rig.servers.filter((server) => server !== leader);
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

  /** Until every server is healthy, has applied what the others have, and every block has all its copies. */
  async whole(timeoutMs = WAIT_MS): Promise<void> {
    await until('the cluster is whole', timeoutMs, async () =>
      isWhole(await this.rig.status(), this.rig.servers.length),
    );
  }
}

/** How far a replica may be behind while work goes on. */
const LAG_ENTRIES_MAX = 1_000;

function isWhole({ health, servers }: ClusterStatus, expected: number): boolean {
  const applied = servers.map(({ raft }) => raft?.appliedIndex ?? 0);
  return (
    health === 'ok' &&
    servers.length === expected &&
    Math.max(...applied) - Math.min(...applied) <= LAG_ENTRIES_MAX &&
    servers.every(({ ring }) => ring !== null && ring.underReplicated === 0)
  );
}

export interface Scenario {
  readonly name: string;
  /** One line for `--list`. */
  readonly summary: string;
  /** Breaks things and mends them. The workload runs before, meanwhile and after. */
  run(stage: Stage): Promise<void>;
}
