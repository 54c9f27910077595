import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toPosition } from '../../../../src/core/chord/identifiers.ts';
import {
  joinSegments,
  reconcile,
  type SuccessorListRules,
  segmentOf,
} from '../../../../src/core/chord/successor-list.ts';
import { CHORD_LIMITS, type Member } from '../../../../src/core/chord/types.ts';

/** A member at a position of one byte. */
function at(byte: number, nodeId: string): Member {
  return {
    position: toPosition(byte.toString(16).padStart(2, '0').padEnd(64, '0')),
    nodeId,
    address: nodeId,
  };
}

function rules(changes: Partial<SuccessorListRules> = {}): SuccessorListRules {
  return {
    limits: { ...CHORD_LIMITS, successorsMin: 2, successorsMax: 6 },
    distinctNodes: 3,
    isExcluded: () => false,
    own: [],
    ...changes,
  };
}

const bytes = (members: readonly Member[]): number[] =>
  members.map((m) => Number.parseInt(m.position.slice(0, 2), 16));
const SELF = at(100, 'x');

describe('successor list', () => {
  it('ends with itself and is whole then', () => {
    const list = reconcile(SELF.position, [at(120, 'a'), at(10, 'b'), SELF, at(120, 'a')], rules());
    assert.deepEqual(bytes(list.members), [120, 10]);
    assert.equal(list.whole, true);
  });

  it('ends where the order does', () => {
    const list = reconcile(SELF.position, [at(120, 'a'), at(110, 'b'), at(130, 'c')], rules());
    assert.deepEqual(bytes(list.members), [120]);
    assert.equal(list.whole, false);
  });

  it('leaves out who is suspected', () => {
    const told = [at(120, 'a'), at(130, 'dead'), at(140, 'c')];
    const list = reconcile(SELF.position, told, rules({ isExcluded: (m) => m.nodeId === 'dead' }));
    assert.deepEqual(bytes(list.members), [120, 140]);
  });

  it('goes on until it names enough machines, but not for ever', () => {
    const many = [110, 120, 130, 140, 150, 160, 170, 180].map((b) => at(b, b < 150 ? 'a' : `n${b}`));
    assert.deepEqual(bytes(reconcile(SELF.position, many, rules()).members), [110, 120, 130, 140, 150, 160]);
    const few = rules({ distinctNodes: 2 });
    assert.deepEqual(bytes(reconcile(SELF.position, many, few).members), [110, 120, 130, 140, 150]);
  });

  it('knows own virtual nodes, wherever they are, once it is whole', () => {
    const own = [SELF, at(125, 'x'), at(50, 'x')];
    const open = reconcile(SELF.position, [at(120, 'a'), at(130, 'b')], rules({ own }));
    assert.deepEqual(bytes(open.members), [120, 125, 130]);
    const whole = reconcile(SELF.position, [at(120, 'a'), SELF], rules({ own }));
    assert.deepEqual(bytes(whole.members), [120, 125, 50]);
  });

  it('joins the segments of own virtual nodes to one list', () => {
    const own = [SELF, at(200, 'x')];
    const r = rules({ own });
    const isOwn = (p: string): boolean => own.some((m) => m.position === p);
    const first = segmentOf(reconcile(SELF.position, [at(120, 'a'), at(200, 'x'), at(210, 'z')], r), isOwn);
    assert.deepEqual([bytes(first.members), first.end], [[120, 200], 'own']);
    const second = segmentOf(reconcile(own[1]!.position, [at(220, 'b'), SELF], r), isOwn);
    const segments = new Map([
      [SELF.position, first],
      [own[1]!.position, second],
    ]);
    const list = joinSegments(SELF.position, (p) => segments.get(p)!, r);
    assert.deepEqual([bytes(list.members), list.whole], [[120, 200, 220], true]);
  });
});
