/**
 * The exerciser as a command: fsx DIRECTORY... [--seconds N | --ops N] [--seed N] [--size BYTES] [--base BYTES]
 * [--processes N] [--without FEATURE,...]. Several directories are one, seen through several mounts: the file is handed
 * over from one to the next. Ends with 1 at the first difference.
 */
import { parseArgs } from 'node:util';
import { CompiledAgent, SyscallAgent } from '../../support/syscall-agent.ts';
import { Exerciser, FEATURES, type Feature, FsxDifference } from './exerciser.ts';
import { OPERATIONS } from './operations.ts';

const REPORT_OPERATIONS = 5_000;
const STRETCH_OPERATIONS = 100;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string' },
    ops: { type: 'string' },
    seed: { type: 'string' },
    size: { type: 'string', default: '262144' },
    base: { type: 'string', default: '0' },
    processes: { type: 'string', default: '1' },
    without: { type: 'string', default: '' },
  },
});

function number(name: string, text: string | undefined, ifMissing: number): number {
  const value = text === undefined ? ifMissing : Number(text);
  if (!(value >= 0)) throw new Error(`--${name} is no number: ${text}`);
  return value;
}

function featuresOf(list: string): Feature[] {
  return list.split(',').flatMap((name) => {
    if (name === '') return [];
    const feature = FEATURES.find((known) => known === name);
    if (feature === undefined) throw new Error(`--without knows ${FEATURES.join(', ')}, not ${name}`);
    return [feature];
  });
}

async function main(): Promise<void> {
  if (positionals.length === 0) throw new Error('which directory?');
  const seconds = number('seconds', values.seconds, values.ops === undefined ? 60 : Number.POSITIVE_INFINITY);
  const ops = number('ops', values.ops, Number.POSITIVE_INFINITY);
  const seed = number('seed', values.seed, Math.floor(Math.random() * 2 ** 31));
  const say = (line: string): void => console.log(line);
  using compiled = new CompiledAgent();
  const each = number('processes', values.processes, 1);
  const agents = positionals.flatMap((dir) =>
    Array.from({ length: each }, () => new SyscallAgent(compiled, dir)),
  );
  const run = new Exerciser(
    { agents, operations: OPERATIONS },
    {
      seed,
      sizeMax: number('size', values.size, 0),
      base: number('base', values.base, 0),
      handOver: positionals.length > 1,
      without: featuresOf(values.without),
      say,
    },
  );
  say(`fsx: seed ${seed}, size ${values.size}, base ${values.base}, ${agents.length} processes`);
  const began = performance.now();
  const elapsed = (): number => (performance.now() - began) / 1000;
  try {
    await run.start();
    for (let next = REPORT_OPERATIONS; elapsed() < seconds && run.operation < ops; ) {
      await run.run(Math.min(STRETCH_OPERATIONS, ops - run.operation));
      if (run.operation < next) continue;
      next += REPORT_OPERATIONS;
      say(`fsx: ${run.operation} operations, ${Math.round(elapsed())} s`);
    }
    await run.finish();
    const counts = [...run.counts].map(([name, count]) => `${name} ${count}`).join(', ');
    say(`fsx: no difference in ${run.operation} operations, ${Math.round(elapsed())} s: ${counts}`);
  } catch (error) {
    if (!(error instanceof FsxDifference)) throw error;
    say(`fsx: DIFFERENCE\n${error.message}`);
    process.exitCode = 1;
  } finally {
    for (const agent of agents) await agent.end();
  }
}

await main();
