/** SEMANTICS.md names every case that the fuse-native front end skips, and no other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { it } from 'node:test';
import { POSIX_CASES } from './cases/all.ts';
import { crossMountCases } from './cross-mount-cases.ts';
import { FUSE_NATIVE_LACKS } from './posix-case.ts';
import { toolCases } from './tools.ts';

const HEADING = '### Cases that fuse-native cannot express';

it('SEMANTICS.md names the cases that fuse-native cannot express', () => {
  const text = readFileSync(path.resolve(import.meta.dirname, '../../../SEMANTICS.md'), 'utf8');
  const start = text.indexOf(HEADING);
  assert.notEqual(start, -1, `SEMANTICS.md has no heading "${HEADING}"`);
  const end = text.indexOf('\n#', start + HEADING.length);
  const section = text.slice(start, end === -1 ? undefined : end);
  const listed = [...section.matchAll(/^- `([a-z0-9-]+)` \([^)]+\): (.*(?:\n {2}.*)*)/gm)].flatMap(
    ([, capability, names]) =>
      names!
        .replace(/\s+/g, ' ')
        .split(' · ')
        .map((name) => `${capability}: ${name}`),
  );
  const skipped = [...POSIX_CASES, ...toolCases, ...crossMountCases(1, { wholeReads: false })].flatMap(
    ({ name, needs }) => {
      const lacking = needs?.find((need) => FUSE_NATIVE_LACKS.has(need));
      return lacking === undefined ? [] : [`${lacking}: ${name}`];
    },
  );
  assert.deepEqual(listed.sort(), skipped.sort());
});
