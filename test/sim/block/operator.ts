import type { BlockId } from '../../../src/base/ids.ts';
import type { Random } from '../../../src/base/random.ts';
import { BlockNodeMode } from '../../../src/gen/ringfs/v1/namespace.ts';
import { SimProcess, Violation, type World } from '../harness/world.ts';
import type { SimMetadata } from './metadata.ts';
import type { SimNode } from './node.ts';
import type { BlocksCounts } from './options.ts';

const ASK_MS = 1_000;
const THINK_MS_MAX = 10_000;
const SWITCH_OFF_MS_MAX = 5_000;
const AWAY_MS_MAX = 15_000;

export interface SimOperatorComponents {
  readonly world: World;
  readonly counts: BlocksCounts;
  readonly metadata: SimMetadata;
  /** Blocks that a file refers to or will, of which no other node has a good copy. */
  readonly lastCopies: (node: SimNode) => readonly BlockId[];
  /** Whether another node has a copy, good or not. */
  readonly elsewhere: (node: SimNode, id: BlockId) => boolean;
}

/** Somebody who drains nodes, removes them when that is allowed, switches them off, or takes them back. */
export class SimOperator {
  readonly #c: SimOperatorComponents;
  readonly #process: SimProcess;
  readonly #busy = new Set<SimNode>();

  constructor(components: SimOperatorComponents) {
    this.#c = components;
    this.#process = new SimProcess(components.world, 'operator', { rate: 1, wallMs: 0 });
  }

  /** Drains under way. */
  get running(): number {
    return this.#busy.size;
  }

  isBusyWith(node: SimNode): boolean {
    return this.#busy.has(node);
  }

  drain(node: SimNode, random: Random): void {
    this.#busy.add(node);
    this.#drain(node, random).then(
      () => this.#busy.delete(node),
      (error: unknown) => {
        this.#c.world.fail(new Violation('simulation', String(error), { cause: error }));
      },
    );
  }

  async #drain(node: SimNode, random: Random): Promise<void> {
    const { world, counts, metadata } = this.#c;
    const hasty = random.below(2) === 0;
    const givesUpAtMs = random.below(5) === 0 ? world.nowMs + random.below(THINK_MS_MAX) : undefined;
    if (!(await this.#change(node, BlockNodeMode.DRAINING))) return;
    counts.drains++;
    for (;;) {
      await this.#process.sleep(random.below(ASK_MS));
      if (node.retired) return;
      if (givesUpAtMs !== undefined && world.nowMs >= givesUpAtMs) {
        if (await this.#change(node, BlockNodeMode.UNSPECIFIED)) return;
        continue;
      }
      const state = (await metadata.states()).find(({ info }) => info?.id === node.name);
      if (!hasty && state?.drain?.done !== true && state?.alive === true) continue;
      if (await this.#change(node, BlockNodeMode.REMOVED)) break;
    }
    counts.removals++;
    if (!this.#isDispensable(node)) {
      while (!(await this.#change(node, BlockNodeMode.UNSPECIFIED))) await this.#process.sleep(ASK_MS);
      return;
    }
    node.removed = true;
    if (random.below(2) === 0) this.#switchOff(node, random);
    else this.#takeBack(node, random);
  }

  /** Nothing that was removed may be needed. What is all the same, because rot has struck the copies of all others, is excused. */
  #isDispensable(node: SimNode): boolean {
    const { world, metadata, lastCopies, elsewhere } = this.#c;
    const last = lastCopies(node);
    const lost = last.find((id) => metadata.referenced().has(id) && !elsewhere(node, id));
    if (lost !== undefined) {
      const what = `${node.name} was removed and alone has block ${lost.slice(0, 6)}, which a file refers to`;
      world.fail(new Violation('removed', what));
    }
    return last.length === 0;
  }

  #switchOff(node: SimNode, random: Random): void {
    this.#c.world.queue.after(random.below(SWITCH_OFF_MS_MAX), () => {
      this.#c.world.trace(`${node.name} is switched off for good`);
      node.kill();
      node.retired = true;
    });
  }

  #takeBack(node: SimNode, random: Random): void {
    const attempt = async (): Promise<void> => {
      if (this.#c.world.healing) return;
      if (await this.#change(node, BlockNodeMode.UNSPECIFIED)) {
        node.removed = false;
        this.#c.counts.takenBack++;
      } else this.#c.world.queue.after(ASK_MS, () => void attempt());
    };
    this.#c.world.queue.after(random.below(AWAY_MS_MAX), () => void attempt());
  }

  /** Whether it was carried out. */
  async #change(node: SimNode, mode: BlockNodeMode): Promise<boolean> {
    const result = await this.#c.metadata.manage({ id: node.name, mode, force: false });
    const why = result.$case === 'refused' ? result.value.reason : '';
    this.#c.world.trace(`operator: ${node.name} ${mode}: ${result.$case} ${why}`);
    return result.$case === 'nodes';
  }
}
