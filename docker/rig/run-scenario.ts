import { until } from './commands.ts';
import type { Rig } from './rig.ts';
import { type Scenario, Stage, type TimelineEntry } from './scenario.ts';
import { type Verdict, Workload } from './workload.ts';

/** Operations before anything is broken, so that there is something to lose. */
const WARM_UP_OPERATIONS = 200;
const WARM_UP_MS = 120_000;
/** Work after everything was mended. */
const AFTER_SECONDS = 3;
const WHOLE_MS = 300_000;

export interface Report {
  readonly scenario: string;
  readonly form: Rig['form'];
  readonly timeline: readonly TimelineEntry[];
  readonly verdict: Verdict;
  /** From the last repair of the scenario until every server was healthy and every block had all its copies. */
  readonly wholeAfterMs: number;
}

/** Runs one scenario on a rig of its own. Rejects when the scenario could not be carried out; a lost byte is in the report. */
export async function runScenario(
  scenario: Scenario,
  open: () => Promise<Rig>,
  scale: number,
): Promise<Report> {
  const rig = await open();
  let workload: Workload | undefined;
  try {
    const begun = await Workload.start(rig);
    workload = begun;
    const stage = new Stage(rig, scale);
    await until('the work is under way', WARM_UP_MS, async () => begun.operations >= WARM_UP_OPERATIONS);
    await scenario.run(stage);
    const mended = stage.elapsedMs;
    await stage.whole(WHOLE_MS);
    const wholeAfterMs = stage.elapsedMs - mended;
    stage.note('the cluster is whole');
    await stage.hold(AFTER_SECONDS);
    const verdict = await begun.finish();
    return { scenario: scenario.name, form: rig.form, timeline: stage.timeline, verdict, wholeAfterMs };
  } finally {
    workload?.abandon();
    await rig.close();
  }
}
