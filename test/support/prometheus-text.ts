/** What a server answers at /metrics, read as Prometheus reads it. Throws on what it would refuse. */
export class Scrape {
  readonly types = new Map<string, string>();
  readonly #samples: { name: string; labels: Readonly<Record<string, string>>; value: number }[] = [];

  constructor(text: string) {
    for (const line of text.split('\n')) {
      const type = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/.exec(line);
      if (type?.[1] !== undefined && type[2] !== undefined) {
        if (this.types.has(type[1])) throw new Error(`${type[1]} is there twice`);
        this.types.set(type[1], type[2]);
      }
      if (line === '' || line.startsWith('#')) continue;
      const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (sample?.[1] === undefined || sample[3] === undefined) throw new Error(`not a sample: ${line}`);
      const value = sample[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(sample[3]);
      // A mean of nothing is written as Nan, which Prometheus takes.
      if (Number.isNaN(value) && !/^nan$/i.test(sample[3])) throw new Error(`not a number: ${line}`);
      const labels: Record<string, string> = {};
      for (const [, key = '', text = ''] of (sample[2] ?? '').matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g))
        labels[key] = text.replaceAll(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
      this.#samples.push({ name: sample[1], labels, value });
    }
  }

  static async of(address: string): Promise<Scrape> {
    const response = await fetch(`http://${address}/metrics`);
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    return new Scrape(await response.text());
  }

  /** The sum of the samples that have these labels; undefined: there are none. */
  value(name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
    const found = this.#samples.filter(
      (sample) =>
        sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
    );
    return found.length === 0 ? undefined : found.reduce((sum, sample) => sum + sample.value, 0);
  }

  labels(name: string): Readonly<Record<string, string>> | undefined {
    return this.#samples.find((sample) => sample.name === name)?.labels;
  }
}
