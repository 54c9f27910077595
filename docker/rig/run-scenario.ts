import { seededRandom } from '../../src/base/random.ts';
import { CLUSTER_DEFAULT, type ClusterSpec } from './cluster.ts';
import { messageOf, until } from './commands.ts';
import type { Rig } from './rig.ts';
import { type Scenario, type Span, Stage, Timeline, type TimelineEntry } from './scenario.ts';
import { type Second, type Verdict, Workload } from './workload.ts';

/** Operations before anything is broken, so that there is something to lose. */
const WARM_UP_OPERATIONS = 200;
const WARM_UP_MS = 120_000;
/** Work after everything was mended. */
const AFTER_SECONDS = 3;
const FSCK_MS = 120_000;

export interface Report {
  readonly scenario: string;
  readonly form: Rig['form'];
  /** Why the scenario could not be carried out to its end. */
  readonly undone: string | null;
  readonly timeline: readonly TimelineEntry[];
  readonly spans: readonly Span[];
  readonly verdict: Verdict;
  /** From the last repair of the scenario until every server was healthy and every block had all its copies; the longest of several. */
  readonly wholeAfterMs: number;
  /** What the work saw in each second since it began. */
  readonly seconds: readonly Second[];
}

export interface RunOptions {
  readonly open: (spec: ClusterSpec) => Promise<Rig>;
  readonly scale: number;
  readonly seed: number;
  /** Where the logs of all machines are kept. Undefined: nowhere. */
  readonly logs: string | undefined;
  /** Called when something is done, and with what. */
  readonly onEntry: (entry: TimelineEntry) => void;
}

/** Every copy of every block must be there and good: what the servers say of themselves is not taken for it. */
async function withFsck(rig: Rig, verdict: Verdict): Promise<Verdict> {
  let found = '';
  try {
    await until('fsck finds nothing wrong', FSCK_MS, async () => {
      found = await rig.operate(rig.metas, 'fsck').then(() => '', messageOf);
      return found === '';
    });
    return verdict;
  } catch {
    return { ...verdict, wrong: [...verdict.wrong, `fsck: ${found}`] };
  }
}

/** Resolves with why the scenario could not be carried out. What the work saw until then is worth as much. */
async function performed(scenario: Scenario, stage: Stage): Promise<string | null> {
  try {
    if (scenario.marksSpans === true) await scenario.run(stage);
    else await stage.during(scenario.name, () => scenario.run(stage));
    return null;
  } catch (error) {
    stage.note(`could not be carried out: ${messageOf(error)}`);
    return messageOf(error);
  }
}

/** Runs one scenario on a rig of its own. Rejects when the cluster could not be started; all else is in the report. */
export async function runScenario(scenario: Scenario, options: RunOptions): Promise<Report> {
  const { open, scale, seed, logs, onEntry } = options;
  const rig = await open({ ...CLUSTER_DEFAULT, ...scenario.cluster });
  let workload: Workload | undefined;
  try {
    const begun = await Workload.start(rig);
    workload = begun;
    const stage = new Stage(rig, begun, new Timeline(onEntry), { scale, random: seededRandom(seed) });
    await until('the work is under way', WARM_UP_MS, async () => begun.operations >= WARM_UP_OPERATIONS);
    const undone = await performed(scenario, stage);
    await stage.hold(AFTER_SECONDS);
    const finished = await begun.finish();
    const verdict = undone === null ? await withFsck(rig, finished) : finished;
    const { timeline, spans } = stage;
    const wholeAfterMs = Math.max(0, ...spans.map((span) => span.wholeMs - span.mendedMs));
    const { seconds } = begun;
    return {
      scenario: scenario.name,
      form: rig.form,
      undone,
      timeline: timeline.entries,
      spans,
      verdict,
      wholeAfterMs,
      seconds,
    };
  } finally {
    workload?.abandon();
    if (logs !== undefined) await rig.saveLogs(logs);
    await rig.close();
  }
}
