import type { Random } from '../../../src/base/random.ts';
import type { Position } from '../../../src/core/chord/identifiers.ts';
import type { Member, OwnersAnswer } from '../../../src/core/chord/types.ts';
import { Over } from '../harness/passage.ts';
import type { RunResult } from '../harness/simulator.ts';
import { Violation, World } from '../harness/world.ts';
import { Established, idealDefect, idealOwners, localDefect, RingView, sortedMembers } from './checks.ts';
import { RingFaults } from './faults.ts';
import { type Machine, Machines, type MachinesComponents, positionOf } from './machines.ts';
import { noCounts, type RingOptions } from './options.ts';

/** After the trouble the ring is ideal within this time: the longest suspicion, and a round of all seeds. */
const HEAL_MS_MAX = 180_000;
/** And stays so. */
const QUIET_MS = 20_000;
const LOSSES_MS = 3_000;
/** Later answers are not heard. */
const ANSWER_MS_MAX = 1_500;
const IDEAL_CHECK_MS = 250;
/** No lookup takes more hops than this, not even in a ring that is being mended. */
const HOPS_MAX = 64;

export interface RingRunOptions {
  readonly makeCore?: MachinesComponents['makeCore'];
  /** Only these checks speak. Default: all. */
  readonly only?: readonly string[];
  readonly onTrace?: (line: string) => void;
}

/** Runs the pure Chord core of some machines under `options`, with luck drawn from `seed`, in virtual time. */
export async function runRing(
  seed: number,
  options: RingOptions,
  run: RingRunOptions = {},
): Promise<RunResult> {
  const simulation = new RingSimulation(seed, options, run);
  simulation.run();
  const { world, counts } = simulation;
  counts.simulatedMs = Math.round(world.nowMs);
  return { seed, violation: world.violation, counts, digest: world.digest() };
}

class RingSimulation {
  readonly world: World;
  readonly counts = noCounts();
  readonly #options: RingOptions;
  readonly #machines: Machines;
  readonly #faults: RingFaults;
  readonly #lookups: Random;
  /** Undefined while the ring has not been ideal since something happened that Zave's proof does not allow. */
  #established: Established | undefined;
  #establishedMs = 0;
  /** Counts what changes lists; an ideal ring is one until then. */
  #changes = 0;
  #idealAt = -1;
  #idealMs = 0;

  constructor(seed: number, options: RingOptions, run: RingRunOptions) {
    this.world = new World(seed, run);
    this.#options = options;
    this.#lookups = this.world.random('lookups');
    const { world, counts } = this;
    this.#machines = new Machines(
      { world, counts, ...(run.makeCore && { makeCore: run.makeCore }) },
      options,
    );
    this.#faults = new RingFaults({ world, counts, machines: this.#machines }, options);
    this.#machines.onChange = (machine) => this.#changed(machine);
    this.#machines.onFalseSuspicion = () => this.#doubt();
    this.#faults.onMembership = () => {
      this.#changes++;
    };
    this.#faults.onDoubt = () => this.#doubt();
  }

  run(): void {
    try {
      this.#faults.begin();
      this.#watch();
      this.#lookUpLater();
      this.#pass(this.#options.seconds * 1_000);
      this.#mend();
      this.#audit();
    } catch (error) {
      if (!(error instanceof Over)) this.#broken(error);
    }
  }

  /** An assertion of the core, mostly. */
  #broken(error: unknown): void {
    const why = error instanceof Error ? error.stack : String(error);
    this.world.fail(new Violation('assertion', String(why), { cause: error }));
  }

  // Phases ------------------------------------------------------------------------------------------------

  #pass(ms: number): void {
    const end = this.world.nowMs + ms;
    while (this.world.queue.runNext(end)) if (this.world.violation !== undefined) throw new Over();
    this.world.queue.now = end;
  }

  #mend(): void {
    this.world.trace('everything is mended');
    this.world.healing = true;
    this.#machines.calm();
    const startMs = this.world.nowMs;
    // What was lost before is noticed by then.
    this.#pass(LOSSES_MS);
    for (;;) {
      const defect = this.#defect();
      if (defect === undefined) break;
      if (this.world.nowMs - startMs >= HEAL_MS_MAX) {
        this.#fail('ideal', `the ring is not ideal after ${HEAL_MS_MAX} ms: ${defect}`);
        throw new Over();
      }
      this.#pass(IDEAL_CHECK_MS);
    }
    this.counts.healMs = this.world.nowMs - startMs;
    this.world.trace('ideal');
  }

  #audit(): void {
    this.#established = undefined;
    this.#pass(QUIET_MS);
    const living = this.#living();
    const defect = idealDefect(living, this.#options);
    if (defect !== undefined) this.#fail('ideal', `the ring did not stay ideal: ${defect}`);
    const members = sortedMembers(living);
    for (const machine of living) {
      for (let i = 0; i < this.#options.lookupsAfter; i++) this.#lookUpAtOnce(machine, members);
    }
  }

  #lookUpAtOnce(machine: Machine, members: readonly Member[]): void {
    const key = positionOf(`${this.#lookups.next()}`);
    const { replicas } = this.#options;
    let answer = machine.core.owners(key, replicas);
    let hops = 0;
    while (!answer.done) {
      // Each hop comes closer, so it takes no more of them than there are members, and far fewer with fingers.
      if (++hops > Math.min(HOPS_MAX, members.length)) {
        this.#fail('lookup', `a lookup of ${key.slice(0, 6)} from ${machine.nodeId} took ${hops} hops`);
        return;
      }
      const asked = this.#machines.alive.get(answer.nextHop.nodeId);
      if (asked === undefined) {
        this.#fail('lookup', `a lookup in an ideal ring was sent to ${answer.nextHop.nodeId}, which is dead`);
        return;
      }
      answer = asked.core.owners(key, replicas);
    }
    this.counts.lookups++;
    this.#compare(key, answer, members);
  }

  // Checks ------------------------------------------------------------------------------------------------

  #fail(check: string, message: string): void {
    this.world.fail(new Violation(check, message));
  }

  #living(): Machine[] {
    return [...this.#machines.alive.values()].filter(({ leaving }) => !leaving);
  }

  /** What keeps the ring from being ideal, and from staying so by itself. */
  #defect(): string | undefined {
    const living = this.#living();
    const doubted = living.find(({ nodeId }) => living.some(({ core }) => core.isSuspected(nodeId)));
    return doubted === undefined ? idealDefect(living, this.#options) : `${doubted.nodeId} is taken for dead`;
  }

  /** What happened is more than Zave's proof allows: a living machine is taken for dead, or comes back without its memory. */
  #doubt(): void {
    if (this.#established !== undefined) this.counts.strictMs += this.world.nowMs - this.#establishedMs;
    this.#established = undefined;
  }

  #changed(machine: Machine): void {
    this.#changes++;
    const { alive } = this.#machines;
    const local = localDefect(machine);
    if (local !== undefined) this.#fail('list', local);
    if (this.#established === undefined) return;
    const skipped = this.#established.skipped(machine, alive);
    if (skipped !== undefined) this.#fail('skipped', skipped);
    const split = this.#established.split(alive);
    if (split !== undefined) this.#fail('one-ring', split);
    const disorder = new RingView(alive.values()).disorder();
    if (disorder !== undefined) this.#fail('ordered-ring', disorder);
  }

  /** Notices when the ring is ideal, and when no answer from before can arrive any more. */
  #watch(): void {
    this.world.queue.after(IDEAL_CHECK_MS, () => this.#watch());
    if (this.#machines.partitioned || this.world.healing) return;
    if (this.#idealAt === this.#changes) {
      if (this.#established !== undefined || this.world.nowMs - this.#idealMs < ANSWER_MS_MAX) return;
      if (this.#defect() !== undefined) return;
      this.#established = new Established(this.#living());
      this.#establishedMs = this.world.nowMs;
      return;
    }
    if (this.#living().length !== this.#machines.alive.size || this.#defect() !== undefined) return;
    this.#idealAt = this.#changes;
    this.#idealMs = this.world.nowMs;
    this.world.trace('the ring is ideal');
    if (this.#established === undefined) return;
    // Whoever has come since is one of them now.
    this.#doubt();
  }

  #compare(key: Position, answer: Extract<OwnersAnswer, { done: true }>, members: readonly Member[]): void {
    const expected = idealOwners(members, key, this.#options.replicas).join();
    const told = answer.owners.map((m) => m.nodeId).join();
    this.counts.lookupsChecked++;
    if (told !== expected) this.#fail('lookup', `owners of ${key.slice(0, 6)} are ${expected}, not ${told}`);
  }

  // Lookups -----------------------------------------------------------------------------------------------

  #lookUpLater(): void {
    const { lookups } = this.#options;
    if (lookups === 0) return;
    this.world.queue.after((2 * this.#lookups.next() * 1_000) / lookups, () => {
      if (this.world.healing) return;
      this.#lookUpLater();
      const living = this.#living();
      const from = living[this.#lookups.below(living.length)];
      if (from === undefined) return;
      const key = positionOf(`${this.#lookups.next()}`);
      this.counts.lookups++;
      this.#hop(from, key, 0, this.#changes, from.core.owners(key, this.#options.replicas));
    });
  }

  #hop(from: Machine, key: Position, hops: number, since: number, answer: OwnersAnswer | undefined): void {
    if (answer === undefined) {
      this.counts.lookupsFailed++;
      return;
    }
    if (answer.done) {
      const names = new Set(answer.owners.map((m) => m.nodeId));
      if (names.size === 0 || names.size !== answer.owners.length) {
        this.#fail('lookup', `owners of ${key.slice(0, 6)} are not distinct machines`);
      }
      const ideal = this.#idealAt === this.#changes && since === this.#changes;
      if (ideal) this.#compare(key, answer, sortedMembers(this.#living()));
      return;
    }
    if (hops >= HOPS_MAX) {
      this.counts.lookupsFailed++;
      // Somebody may still be led to what a machine was in a life before, and back.
      if (this.#established === undefined) return;
      this.#fail('lookup', `a lookup of ${key.slice(0, 6)} from ${from.nodeId} takes more than ${hops} hops`);
      return;
    }
    this.#machines.askOwners(from, answer.nextHop, key, (next) =>
      this.#hop(from, key, hops + 1, since, next),
    );
  }
}
