import { Over, Passage } from '../harness/passage.ts';
import type { RunResult } from '../harness/simulator.ts';
import { Violation, World } from '../harness/world.ts';
import { type Cluster, Machine, type Mistake } from './machine.ts';
import { type FormationOptions, noCounts } from './options.ts';

/** After the last fault: one question that hangs, one restart, and room. */
const SETTLE_MS = 30_000;
const CUT_MS_MAX = 3_000;

export interface RunOptions {
  readonly mistake?: Mistake;
  readonly onTrace?: (line: string) => void;
}

/** Servers form a cluster while they crash and lose their disks. Nobody who lost votes may vote again, and nobody may wait for ever. */
export async function runFormation(
  seed: number,
  options: FormationOptions,
  { mistake, onTrace }: RunOptions = {},
): Promise<RunResult> {
  const world = new World(seed, onTrace === undefined ? {} : { onTrace });
  const counts = noCounts();
  const machines = new Map<string, Machine>();
  const cuts = new Map<string, number>();
  const luck = world.random('network');
  const send: Cluster['send'] = (from, to, action) => {
    const cutUntil = cuts.get(`${from} ${to}`) ?? 0;
    if (cutUntil > world.nowMs || luck.next() < (world.healing ? 0 : options.loss)) return;
    world.queue.after(0.1 + luck.next() * options.delayMs, action);
  };
  const cluster: Cluster = { world, options, counts, machines, mistake, send };
  for (let i = 1; i <= options.servers; i++) machines.set(`s${i}`, new Machine(cluster, `s${i}`));
  const passage = new Passage(world);
  try {
    begin(cluster);
    breakThings(cluster, cuts);
    await passage.pass(options.seconds * 1_000);
    world.healing = true;
    world.trace('nothing is broken any more');
    cuts.clear();
    for (const machine of machines.values()) machine.refused = false;
    const all = [...machines.values()];
    const unsettled = (): Machine[] => all.filter((machine) => !machine.member && !machine.refused);
    const state = (): string =>
      unsettled()
        .map(({ id, waitsFor }) => `${id} waits for ${waitsFor}`)
        .join(', ');
    await passage.until(() => unsettled().length === 0, SETTLE_MS, state);
    if (all.every((machine) => machine.refused))
      world.fail(new Violation('refusal', 'everybody is refused, and there is no cluster'));
  } catch (error) {
    if (!(error instanceof Over)) {
      world.fail(new Violation('simulation', `the simulator itself failed: ${(error as Error).stack}`));
    }
  }
  counts.simulatedMs = world.nowMs;
  return { seed, violation: world.violation, counts, digest: world.digest() };
}

function begin({ world, options, machines }: Cluster): void {
  const random = world.random('starts');
  for (const machine of machines.values()) {
    world.queue.after(random.next() * options.startSeconds * 1_000, () => machine.start());
  }
}

function breakThings({ world, options, machines }: Cluster, cuts: Map<string, number>): void {
  const ids = [...machines.keys()];
  const often = (purpose: 'crashes' | 'wipes' | 'cuts', act: (pick: () => string) => void): void => {
    const random = world.random(purpose);
    const pick = (): string => ids[random.below(ids.length)] ?? '';
    const next = (): void => {
      if (options[purpose] === 0) return;
      world.queue.after((-Math.log(1 - random.next()) / options[purpose]) * 1_000, () => {
        if (world.healing) return;
        act(pick);
        next();
      });
    };
    next();
  };
  often('crashes', (pick) => machines.get(pick())?.crash());
  often('wipes', (pick) => machines.get(pick())?.wipe());
  const cutFor = world.random('cut times');
  often('cuts', (pick) => {
    const pair = `${pick()} ${pick()}`;
    world.trace(`cut ${pair}`);
    cuts.set(pair, world.nowMs + cutFor.next() * CUT_MS_MAX);
  });
}
