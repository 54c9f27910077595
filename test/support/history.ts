/** What one thing was from a log index on. */
interface Version {
  readonly from: number;
  readonly value: string;
}

/**
 * The values of things over the log, and what readers may be told of them: a read is linearizable only if it returns a value
 * that was current at some index between the last one that anybody is known to have seen and the end of the read.
 */
export class History {
  readonly #versions = new Map<string, Version[]>();
  /** Nobody who starts reading now may be told of anything older. */
  seen = 0;

  record(index: number, thing: string, value: string): void {
    const versions = this.#versions.get(thing) ?? [];
    if (versions.at(-1)?.value !== value) versions.push({ from: index, value });
    this.#versions.set(thing, versions);
  }

  /** Throws when `value` was not current at any index in [since, until]. Notes what was seen otherwise. */
  check(thing: string, value: string, since: number, until: number): void {
    const versions = this.#versions.get(thing) ?? [];
    for (const [i, version] of versions.entries()) {
      const to = (versions[i + 1]?.from ?? Number.POSITIVE_INFINITY) - 1;
      if (version.value === value && to >= since && version.from <= until) {
        this.seen = Math.max(this.seen, version.from);
        return;
      }
    }
    const relevant = versions.filter((_, i) => (versions[i + 1]?.from ?? Infinity) > since);
    throw new Error(
      `${thing} was read as ${value} between ${since} and ${until}: ${JSON.stringify(relevant)}`,
    );
  }
}
