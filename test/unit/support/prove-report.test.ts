import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type FileReport, failedChecks, ProveReader, type ProveReport } from '../../support/prove-report.ts';

function read(text: string): ProveReport {
  const reader = new ProveReader();
  for (const line of text.split('\n')) reader.line(line);
  return reader.end();
}

const OUTPUT = `/suite/tests/a.t .......... 
1..4
ok 1
not ok 2 - tried 'chmod x 0644', expected 0, got EPERM
not ok 3 # TODO not on Linux
ok 4 # TODO not on Linux
Failed 1/4 subtests 
/suite/tests/sub dir/b.t .. 
1..3
ok 1
Dubious, test returned 3 (wstat 768, 0x300)
Failed 2/3 subtests 
/suite/tests/c.t .......... 
No subtests run 
/suite/tests/d.t .......... 
1..2
ok 1
ok 2
ok

Test Summary Report
-------------------
/suite/tests/a.t          (Wstat: 0 Tests: 4 Failed: 1)
  Failed test:  2
  TODO passed:   4
/suite/tests/sub dir/b.t (Wstat: 768 (exited 3) Tests: 1 Failed: 0)
  Non-zero exit status: 3
  Parse errors: Bad plan.  You planned 3 tests but ran 1.
/suite/tests/c.t          (Wstat: 0 Tests: 0 Failed: 0)
  Parse errors: No plan found in TAP output
                another line of it
Files=4, Tests=7,  0 wallclock secs ( 0.03 usr  0.01 sys +  0.01 cusr  0.01 csys =  0.06 CPU)
Result: FAIL
`;

describe('ProveReader', () => {
  it('counts the checks of each file and keeps what failed', () => {
    const expected: FileReport[] = [
      {
        path: '/suite/tests/a.t',
        planned: 4,
        ran: 4,
        failures: ["not ok 2 - tried 'chmod x 0644', expected 0, got EPERM"],
        todos: ['not ok 3 # TODO not on Linux'],
      },
      { path: '/suite/tests/sub dir/b.t', planned: 3, ran: 1, failures: [], todos: [] },
      { path: '/suite/tests/c.t', planned: undefined, ran: 0, failures: [], todos: [] },
      { path: '/suite/tests/d.t', planned: 2, ran: 2, failures: [], todos: [] },
    ];
    assert.deepEqual(read(OUTPUT).files, expected);
  });

  it('counts checks that did not run as failed, and a file without a plan', () => {
    assert.deepEqual(read(OUTPUT).files.map(failedChecks), [1, 2, 1, 0]);
  });

  it('keeps what prove objects to beside failed checks', () => {
    assert.deepEqual(
      [...read(OUTPUT).complaints],
      [
        [
          '/suite/tests/sub dir/b.t',
          ['Non-zero exit status: 3', 'Parse errors: Bad plan.  You planned 3 tests but ran 1.'],
        ],
        ['/suite/tests/c.t', ['Parse errors: No plan found in TAP output', 'another line of it']],
      ],
    );
  });

  it('says when a file begins', () => {
    const reader = new ProveReader();
    assert.equal(reader.line('noise before'), undefined);
    assert.equal(reader.line('/suite/tests/a.t .. ')?.path, '/suite/tests/a.t');
    assert.equal(reader.line('ok 1'), undefined);
    assert.equal(reader.end().files[0]?.ran, 1);
  });
});
