// Hops of lookups in rings of 10 to 10,000 machines of the pure Chord core: JSON on standard output, and a plot.
// By hand: npx tsc -b && node dist/test/bench/lookup.js [plot.svg]
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { VIRTUAL_NODES_DEFAULT } from '../../src/base/limits.ts';
import { type Random, seededRandom } from '../../src/base/random.ts';
import { ChordNode } from '../../src/core/chord/chord-node.ts';
import {
  addPowerOfTwo,
  isBetween,
  POSITION_BITS,
  type Position,
  toPosition,
} from '../../src/core/chord/identifiers.ts';
import { CHORD_LIMITS, type ChordMessage, type Member } from '../../src/core/chord/types.ts';

const SIZES = [10, 100, 1_000, 10_000];
const LOOKUPS = 2_000;
const REPLICAS = 3;
/** Of a churned ring, this part has crashed and as many machines have come, and then so many ticks of 100 ms have passed. */
const CHURN = 0.1;
const CHURN_TICKS = 30;

interface Measured {
  readonly ring: string;
  readonly machines: number;
  readonly virtualNodes: number;
  readonly mean: number;
  readonly p99: number;
  readonly max: number;
  /** Of all lookups, those that met a dead machine on their way and asked again. */
  readonly detours: number;
  readonly failed: number;
}

function positions(name: string, virtualNodes: number): Position[] {
  return Array.from({ length: virtualNodes }, (_, k) =>
    toPosition(createHash('sha256').update(`${name}/${k}`).digest('hex')),
  );
}

function makeCore(name: string, virtualNodes: number): ChordNode {
  return new ChordNode({
    nodeId: name,
    address: name,
    positions: positions(name, virtualNodes),
    replicas: REPLICAS,
  });
}

/** The index of the first member at or behind `key`. */
function firstBehind(members: readonly Member[], key: Position): number {
  let low = 0;
  let high = members.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (members[middle]!.position < key) low = middle + 1;
    else high = middle;
  }
  return low % members.length;
}

/** A ring in the state that stabilization ends in. */
class Ring {
  readonly cores = new Map<string, ChordNode>();
  readonly #virtualNodes: number;

  constructor(machines: number, virtualNodes: number) {
    this.#virtualNodes = virtualNodes;
    for (let i = 0; i < machines; i++) this.cores.set(`n${i}`, makeCore(`n${i}`, virtualNodes));
    const members = [...this.cores.values()]
      .flatMap((core) => core.ownMembers)
      .sort((a, b) => (a.position < b.position ? -1 : 1));
    for (const core of this.cores.values()) this.#settle(core, members);
  }

  #settle(core: ChordNode, members: readonly Member[]): void {
    for (const node of core.virtualNodes) {
      const at = firstBehind(members, node.self.position);
      const list: Member[] = [];
      const names = new Set<string>();
      for (let i = 1; i < members.length && list.length < CHORD_LIMITS.successorsMax; i++) {
        const member = members[(at + i) % members.length]!;
        list.push(member);
        names.add(member.nodeId);
        if (list.length >= CHORD_LIMITS.successorsMin && names.size > REPLICAS) break;
      }
      const whole = list.length === members.length - 1;
      node.predecessor = members[(at + members.length - 1) % members.length];
      node.successors = { members: list, whole };
      const own = list.findIndex((m) => m.nodeId === core.nodeId);
      node.segment =
        own >= 0
          ? { members: list.slice(0, own + 1), end: 'own' }
          : { members: list, end: whole ? 'self' : 'open' };
      node.placed = true;
      if (whole) continue;
      const last = list.at(-1)!;
      for (let bit = POSITION_BITS - 1; bit > 0; bit--) {
        const start = addPowerOfTwo(node.self.position, bit);
        if (isBetween(node.self.position, start, last.position)) break;
        const finger = members[firstBehind(members, start)]!;
        if (finger.nodeId !== core.nodeId) node.fingers.set(bit, finger);
      }
    }
  }

  /** Some crash, as many come, and the others have had a few seconds to notice. */
  churn(random: Random): void {
    const names = [...this.cores.keys()];
    const count = Math.floor(names.length * CHURN);
    for (let i = 0; i < count; i++) this.cores.delete(names[random.below(names.length)]!);
    const living = [...this.cores.keys()];
    for (let i = 0; i < count; i++) {
      const core = makeCore(`late${i}`, this.#virtualNodes);
      this.cores.set(core.nodeId, core);
      core.contact(living[random.below(living.length)]!);
    }
    for (let tick = 0; tick < CHURN_TICKS; tick++) {
      for (const core of this.cores.values()) {
        core.tick();
        this.#deliver(core);
      }
    }
  }

  /** Messages take no time here: what counts is who knows whom. */
  #deliver(from: ChordNode): void {
    const queue: { readonly from: ChordNode; readonly message: ChordMessage }[] = [];
    const collect = (core: ChordNode): void => {
      for (const message of core.takeMessages()) queue.push({ from: core, message });
    };
    collect(from);
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { id, address, request } = next.message;
      const to = this.cores.get(address);
      const reply = to?.handle(request);
      if (to !== undefined) collect(to);
      if (to === undefined) next.from.nodeDown(address);
      if (reply !== undefined) next.from.reply(id, reply);
      else next.from.failed(id, to === undefined ? 'unreachable' : 'member-unknown');
      collect(next.from);
    }
  }

  /** Hops until the owners of `key` are known; undefined when nobody could tell. A dead machine on the way costs a hop. */
  lookup(start: ChordNode, key: Position): { readonly hops: number; readonly detours: number } | undefined {
    let at = start;
    let detours = 0;
    for (let hops = 0; hops <= CHORD_LIMITS.hopsMax; hops++) {
      const answer = at.owners(key, REPLICAS);
      if (answer.done) return { hops, detours };
      const next = this.cores.get(answer.nextHop.nodeId);
      if (next === undefined) {
        at.nodeDown(answer.nextHop.nodeId);
        detours++;
      } else {
        at = next;
      }
    }
    return undefined;
  }
}

function measure(ring: string, machines: number, virtualNodes: number): Measured {
  const random = seededRandom(machines * 100 + virtualNodes);
  const built = new Ring(machines, virtualNodes);
  if (ring === 'churned') built.churn(random);
  const cores = [...built.cores.values()];
  const hops: number[] = [];
  let detours = 0;
  let failed = 0;
  for (let i = 0; i < LOOKUPS; i++) {
    const key = toPosition(createHash('sha256').update(`key ${i}`).digest('hex'));
    const found = built.lookup(cores[random.below(cores.length)]!, key);
    if (found === undefined) {
      failed++;
      continue;
    }
    hops.push(found.hops);
    if (found.detours > 0) detours++;
  }
  hops.sort((a, b) => a - b);
  const mean = hops.reduce((sum, n) => sum + n, 0) / hops.length;
  const p99 = hops[Math.floor(hops.length * 0.99)] ?? 0;
  return {
    ring,
    machines,
    virtualNodes,
    mean: Number(mean.toFixed(2)),
    p99,
    max: hops.at(-1) ?? 0,
    detours,
    failed,
  };
}

const WIDTH = 720;
const HEIGHT = 440;
const MARGIN = { left: 60, right: 170, top: 30, bottom: 50 };
const COLORS = ['#1b6ca8', '#c8553d', '#3a7d44'];

/** Hops over the logarithm of the number of machines: a straight line is O(log n). */
function plot(series: readonly (readonly [label: string, rows: readonly Measured[]])[]): string {
  const hopsMax = Math.ceil(Math.max(...series.flatMap(([, rows]) => rows.map((r) => r.p99)), 7) + 1);
  const x = (n: number): number =>
    MARGIN.left + ((Math.log10(n) - 1) / 3) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (hops: number): number =>
    HEIGHT - MARGIN.bottom - (hops / hopsMax) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const line = (points: readonly (readonly [number, number])[], style: string): string =>
    `<polyline fill="none" ${style} points="${points.map(([n, h]) => `${x(n).toFixed(1)},${y(h).toFixed(1)}`).join(' ')}"/>`;
  const text = (at: readonly [number, number], content: string, more = ''): string =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}" ${more}>${content}</text>`;
  const parts: string[] = [];
  for (let hops = 0; hops <= hopsMax; hops++) {
    const grid: readonly (readonly [number, number])[] = [
      [10, hops],
      [10_000, hops],
    ];
    parts.push(line(grid, 'stroke="#ddd"'));
    parts.push(text([MARGIN.left - 10, y(hops) + 4], String(hops), 'text-anchor="end"'));
  }
  for (const n of SIZES)
    parts.push(text([x(n), HEIGHT - MARGIN.bottom + 20], n.toLocaleString('en'), 'text-anchor="middle"'));
  const half = SIZES.map((n) => [n, Math.log2(n) / 2] as const);
  parts.push(line(half, 'stroke="#999" stroke-dasharray="2 4"'));
  parts.push(text([x(10_000) + 8, y(half.at(-1)![1]) - 6], '½ log₂ n', 'fill="#777"'));
  for (const [i, [label, rows]] of series.entries()) {
    const color = COLORS[i % COLORS.length]!;
    parts.push(
      line(
        rows.map((r) => [r.machines, r.mean] as const),
        `stroke="${color}" stroke-width="2.5"`,
      ),
    );
    parts.push(
      line(
        rows.map((r) => [r.machines, r.p99] as const),
        `stroke="${color}" stroke-dasharray="6 4"`,
      ),
    );
    for (const r of rows)
      parts.push(
        `<circle cx="${x(r.machines).toFixed(1)}" cy="${y(r.mean).toFixed(1)}" r="3.5" fill="${color}"/>`,
      );
    parts.push(text([WIDTH - MARGIN.right + 20, MARGIN.top + 20 + 40 * i], label, `fill="${color}"`));
  }
  parts.push(text([WIDTH - MARGIN.right + 20, HEIGHT - MARGIN.bottom - 20], 'solid: mean', 'fill="#555"'));
  parts.push(
    text([WIDTH - MARGIN.right + 20, HEIGHT - MARGIN.bottom], 'dashed: 99th percentile', 'fill="#555"'),
  );
  parts.push(text([MARGIN.left, 18], 'hops of a lookup'));
  parts.push(
    text([(WIDTH - MARGIN.right + MARGIN.left) / 2, HEIGHT - 10], 'machines', 'text-anchor="middle"'),
  );
  const head = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`;
  return `${head}\n<title>Hops of a lookup by the number of machines</title>\n<rect width="100%" height="100%" fill="white"/>\n${parts.join('\n')}\n</svg>\n`;
}

async function main(): Promise<void> {
  const kinds: readonly (readonly [
    label: string,
    ring: string,
    virtualNodes: number,
    machinesMax: number,
  ])[] = [
    ['ideal, 1 virtual node', 'ideal', 1, 10_000],
    ['churned, 1 virtual node', 'churned', 1, 10_000],
    [`ideal, ${VIRTUAL_NODES_DEFAULT} virtual nodes`, 'ideal', VIRTUAL_NODES_DEFAULT, 10_000],
  ];
  const series = kinds.map(([label, ring, virtualNodes, machinesMax]) => {
    const sizes = SIZES.filter((n) => n <= machinesMax);
    return [label, sizes.map((n) => measure(ring, n, virtualNodes))] as const;
  });
  console.log(
    JSON.stringify(
      series.flatMap(([, rows]) => rows),
      undefined,
      2,
    ),
  );
  const [, , path] = process.argv;
  if (path !== undefined) await writeFile(path, plot(series));
}

await main();
