export interface DataRange {
  readonly from: number;
  readonly to: number;
}

/** Which bytes of a file were written and are not holes: disjoint ranges, in order, that do not touch. */
export class DataRanges {
  #ranges: DataRange[] = [];

  get bytes(): number {
    let sum = 0;
    for (const { from, to } of this.#ranges) sum += to - from;
    return sum;
  }

  add(from: number, to: number): void {
    if (from >= to) return;
    const last = this.#ranges.at(-1);
    if (last !== undefined && last.from <= from && from <= last.to) {
      this.#ranges[this.#ranges.length - 1] = { from: last.from, to: Math.max(last.to, to) };
      return;
    }
    const [before, touching, after] = this.#divide(from, to);
    const merged = {
      from: Math.min(from, touching[0]?.from ?? from),
      to: Math.max(to, touching.at(-1)?.to ?? to),
    };
    this.#ranges = [...before, merged, ...after];
  }

  remove(from: number, to: number): void {
    if (from >= to) return;
    const [before, touching, after] = this.#divide(from, to);
    const kept = touching.flatMap((range) => [
      { from: range.from, to: Math.min(range.to, from) },
      { from: Math.max(range.from, to), to: range.to },
    ]);
    this.#ranges = [...before, ...kept.filter((range) => range.from < range.to), ...after];
  }

  #divide(from: number, to: number): [before: DataRange[], touching: DataRange[], after: DataRange[]] {
    return [
      this.#ranges.filter((range) => range.to < from),
      this.#ranges.filter((range) => range.to >= from && range.from <= to),
      this.#ranges.filter((range) => range.from > to),
    ];
  }

  /** The parts of [from, to), in order. */
  between(from: number, to: number): DataRange[] {
    return this.#ranges
      .map((range) => ({ from: Math.max(from, range.from), to: Math.min(to, range.to) }))
      .filter((range) => range.from < range.to);
  }
}
