import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { historyOf, nameModel } from '../../../docker/rig/name-model.ts';
import type { NameInput, NameOperation, NameOutput } from '../../../docker/rig/workers/protocol.ts';
import { checkLinearizable } from '../../support/linearizability.ts';

type Row = readonly [client: string, call: number, ret: number, input: NameInput, output?: NameOutput];

function verdictOf(...rows: readonly Row[]): string {
  const operations = rows.map(([client, call, ret, input, output], n): NameOperation => {
    const operation = { directory: 'd', id: `${client}-${n}`, call, ret, input };
    return output === undefined ? operation : { ...operation, output };
  });
  return checkLinearizable(nameModel, historyOf(operations)).verdict;
}

const create: Row = ['a', 0, 1, { kind: 'create', name: 'x' }, { ino: '7' }];
const move: NameInput = { kind: 'rename', name: 'x', to: 'y' };
const look = (client: string, at: number, name: string, output: NameOutput): Row => [
  client,
  at,
  at + 1,
  { kind: 'lookup', name },
  output,
];

describe('the model of names', () => {
  it('takes what a file system does, and nothing else', () => {
    assert.equal(verdictOf(create, ['b', 2, 3, move, {}], look('a', 4, 'y', { ino: '7' })), 'ok');
    assert.equal(verdictOf(create, ['b', 2, 3, move, {}], look('a', 4, 'x', { ino: '7' })), 'violation');
    assert.equal(verdictOf(create, ['b', 2, 3, move], look('a', 4, 'x', { ino: '7' })), 'ok');
    assert.equal(verdictOf(create, look('b', 2, 'x', { error: 'ENOENT' })), 'violation');
  });

  it('takes two renames that succeed when they are the same and at the same time, as Linux does it', () => {
    const [first, second]: Row[] = [
      ['a', 2, 6, move, {}],
      ['b', 3, 7, move, {}],
    ];
    assert.equal(verdictOf(create, first!, second!, look('a', 8, 'y', { ino: '7' })), 'ok');
    assert.equal(verdictOf(create, first!, second!, look('a', 8, 'x', { ino: '7' })), 'violation');
    const later: Row = ['b', 7, 8, move, {}];
    assert.equal(verdictOf(create, first!, later), 'violation');
    const elsewhere: Row = ['b', 3, 7, { ...move, to: 'z' }, {}];
    assert.equal(verdictOf(create, first!, elsewhere), 'violation');
  });
});
