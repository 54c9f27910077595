/**
 * Runs cases one after the other, with the time that each took. The exit status is the number of failures, at most 100.
 *
 *     node dist/test/posix/run-cases.js DIR [--only REGEXP] [--long]      the POSIX cases in any directory
 *     node dist/test/posix/run-cases.js MOUNT MOUNT... [--scale N]        the cases across mounts of one RingFS
 *     node dist/test/posix/run-cases.js --list                            the names of all cases by area
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { defined } from '../../src/base/assert.ts';
import { LONG_CASES, POSIX_AREAS, POSIX_CASES } from './cases/all.ts';
import { crossMountCases } from './cross-mount-cases.ts';
import { toolCases } from './tools.ts';

const { values, positionals } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
    long: { type: 'boolean', default: false },
    scale: { type: 'string', default: '10' },
  },
  allowPositionals: true,
});
if (values.list) {
  for (const { area, cases } of listedAreas()) {
    console.log(`${area} (${cases.length})`);
    for (const { name } of cases) console.log(`  ${name}`);
  }
  process.exit();
}
const target = defined(positionals[0], 'a directory');
const cases =
  positionals.length > 1
    ? crossMountCases(Number(values.scale), { wholeReads: true })
    : (values.long ? LONG_CASES : POSIX_CASES).map(({ name, run }) => ({
        name,
        run: ([dir]: readonly string[]) => run(defined(dir, 'a directory')),
      }));
const only = new RegExp(values.only);
let [passed, failed] = [0, 0];
for (const { name, run } of cases) {
  if (!only.test(name)) continue;
  const dir = await mkdtemp(join(target, 'case-'));
  const start = performance.now();
  try {
    await run(positionals.map((mount) => join(mount, basename(dir))));
    passed++;
    console.log(`ok     ${((performance.now() - start) / 1000).toFixed(2)} s  ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok ${name}\n${error instanceof Error ? error.message : String(error)}`);
  }
  await rm(dir, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = Math.min(failed, 100);

function listedAreas(): readonly {
  readonly area: string;
  readonly cases: readonly { readonly name: string }[];
}[] {
  return [
    ...POSIX_AREAS,
    { area: 'too long for every run', cases: LONG_CASES },
    { area: 'across mounts', cases: crossMountCases(1, { wholeReads: true }) },
    { area: 'programs', cases: toolCases },
  ];
}
