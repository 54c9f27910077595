import { seededRandom } from '../../src/base/random.ts';
import type { ClusterSpec } from './cluster.ts';
import { type Scenario, Stage } from './scenario.ts';
import { SCENARIOS } from './scenarios/all.ts';

export const CHAOS_CLUSTER: Partial<ClusterSpec> = {
  blocks: 2,
  // What was removed gives its space back while it lasts.
  serverFlags: ['--gc-grace', '60'],
};

/** One scenario breaks servers at a time, since the design bears no more. Beside it a mount may be broken. */
export interface ChaosStep {
  readonly servers: string;
  readonly mount: string | undefined;
  /** Stretches the waits of these scenarios. */
  readonly scale: number;
  /** Chooses the machines. */
  readonly seed: number;
  /** Everything is left alone for so long before. */
  readonly restSeconds: number;
}

const MOUNT_TOO = 1 / 3;
const REST_SECONDS_MAX = 10;
const SCALE = { least: 0.5, most: 2 };
/** All machines are off: there is nothing to be cut off from. */
const ALONE = new Set(['all-off']);

/** What is done, without end; the same for the same seed. */
export function* chaosSteps(seed: number): Generator<ChaosStep, never> {
  const random = seededRandom(seed);
  const named = (kind: Scenario['chaos']): readonly string[] =>
    SCENARIOS.filter((scenario) => scenario.chaos === kind).map(({ name }) => name);
  const [servers, mounts] = [named('servers'), named('mount')];
  for (;;) {
    const name = servers[random.below(servers.length)]!;
    const mount = mounts[random.below(mounts.length)];
    const withMount = random.next() < MOUNT_TOO && !ALONE.has(name);
    yield {
      servers: name,
      mount: withMount ? mount : undefined,
      scale: SCALE.least + random.next() * (SCALE.most - SCALE.least),
      seed: random.below(0x1_0000_0000),
      restSeconds: random.next() * REST_SECONDS_MAX,
    };
  }
}

async function perform(stage: Stage, name: string, scale: number, seed: number): Promise<void> {
  const scenario = SCENARIOS.find((one) => one.name === name)!;
  await scenario.run(
    new Stage(stage.rig, stage.workload, stage.timeline, { scale, random: seededRandom(seed) }),
  );
}

/** As a scenario: one step after the other until the time is over, each from a whole cluster. */
export function chaos(minutes: number, seed: number): Scenario {
  return {
    name: 'chaos',
    summary: `a random mixture for ${minutes} minutes`,
    cluster: CHAOS_CLUSTER,
    marksSpans: true,
    async run(stage) {
      stage.note(`seed ${seed}`);
      const endMs = stage.elapsedMs + minutes * 60_000;
      for (const step of chaosSteps(seed)) {
        await stage.hold(step.restSeconds);
        if (stage.elapsedMs >= endMs) return;
        await stage.during(
          [step.servers, step.mount].filter((name) => name !== undefined).join(' + '),
          async () => {
            await Promise.all([
              perform(stage, step.servers, step.scale, step.seed),
              step.mount === undefined ? undefined : perform(stage, step.mount, step.scale, step.seed),
            ]);
          },
        );
      }
    },
  };
}
