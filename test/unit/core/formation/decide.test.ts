import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defined } from '../../../../src/base/assert.ts';
import {
  type Candidate,
  type Decision,
  decide,
  type Round,
  type Silence,
} from '../../../../src/core/formation/decide.ts';
import { type FormationReply, FormationState } from '../../../../src/gen/ringfs/v1/admin.ts';

const OTHERS = ['s2', 's3'] as const;
const SELF: Candidate = { id: 's1', instanceId: 'me', clusterId: 'c', peers: ['s1', ...OTHERS] };

const forming = (id: string, more: Partial<FormationReply> = {}): FormationReply => ({
  id,
  clusterId: 'c',
  state: FormationState.FORMING,
  instanceId: `${id}-first`,
  peers: [...SELF.peers],
  founders: [],
  ...more,
});
const formed = (id: string, founders: Record<string, string>): FormationReply => ({
  ...forming(id),
  state: FormationState.FORMED,
  instanceId: '',
  peers: [],
  founders: Object.entries(founders).map(([founder, instanceId]) => ({ id: founder, instanceId })),
});

type Answer = FormationReply | Silence | undefined;
/** Everything that one server can answer, by what it means. */
const ANSWERS = {
  'not asked': () => undefined,
  silent: () => ({ silent: 'refused' }),
  blank: (id) => forming(id),
  'blank again': (id) => forming(id, { instanceId: `${id}-second` }),
  'counted me': (id) => formed(id, { s1: 'me', s2: 'x', s3: 'y' }),
  'counted another': (id) => formed(id, { s1: 'before', s2: 'x', s3: 'y' }),
  'formed, tells nothing': (id) => formed(id, {}),
  'formed in another cluster': (id) => ({ ...formed(id, { s1: 'me' }), clusterId: 'd' }),
  'forming another cluster': (id) => forming(id, { clusterId: 'd' }),
  'somebody else': (id) => formed(id === 's2' ? 's3' : 's2', { s1: 'before' }),
  'no metadata': (id) => forming(id, { state: FormationState.NO_METADATA, instanceId: '', peers: [] }),
  'other peers': (id) => forming(id, { peers: ['s1', id] }),
  joins: (id) => forming(id, { peers: [] }),
} satisfies Record<string, (id: string) => Answer>;
type Kind = keyof typeof ANSWERS;
const KINDS = Object.keys(ANSWERS) as Kind[];
const isBlank = (kind: Kind): boolean => kind === 'blank' || kind === 'blank again';
const isForeign = (kind: Kind): boolean =>
  ['counted another', 'formed, tells nothing', 'formed in another cluster'].includes(kind);

const roundOf = (kinds: readonly Kind[]): Round => {
  const answers = OTHERS.map((id, at) => [id, ANSWERS[defined(kinds[at], 'a kind')](id)] as const);
  return new Map(answers.flatMap(([id, answer]) => (answer === undefined ? [] : [[id, answer] as const])));
};

/** The rule, in other words. */
function expected(before: readonly Kind[] | undefined, now: readonly Kind[]): Decision['kind'] {
  if (now.includes('counted me')) return 'follow';
  if (now.some(isForeign)) return 'refuse';
  if (!now.every(isBlank)) return 'wait';
  return before !== undefined && before.join() === now.join() ? 'form' : 'again';
}

describe('whether a server without memory may take part', () => {
  const pairs = KINDS.flatMap((a) => KINDS.map((b) => [a, b] as const));

  it('is decided for every combination of two rounds of answers', () => {
    const seen = new Map<string, number>();
    for (const before of [undefined, ...pairs]) {
      for (const now of pairs) {
        const decision = decide(SELF, before && roundOf(before), roundOf(now));
        const what = `${before?.join(' + ') ?? 'first round'}, then ${now.join(' + ')}`;
        assert.equal(decision.kind, expected(before, now), what);
        check(decision, now, what);
        seen.set(decision.kind, (seen.get(decision.kind) ?? 0) + 1);
      }
    }
    assert.deepEqual([...seen.keys()].sort(), ['again', 'follow', 'form', 'refuse', 'wait']);
    assert.equal(seen.get('form'), 4);
  });

  function check(decision: Decision, now: readonly Kind[], what: string): void {
    const at = (id: string): Kind => defined(now[OTHERS.indexOf(id as (typeof OTHERS)[number])], what);
    switch (decision.kind) {
      case 'form': {
        const instances = Object.fromEntries(
          OTHERS.map((id) => [id, at(id) === 'blank' ? `${id}-first` : `${id}-second`]),
        );
        assert.deepEqual(decision.founders, { s1: 'me', ...instances }, what);
        break;
      }
      case 'follow':
        assert.deepEqual(decision.founders, { s1: 'me', s2: 'x', s3: 'y' }, what);
        assert.equal(at(decision.peer), 'counted me', what);
        break;
      case 'refuse':
        assert.ok(isForeign(at(decision.peer)), what);
        assert.equal(decision.clusterId, at(decision.peer) === 'formed in another cluster' ? 'd' : 'c', what);
        break;
      case 'wait':
        assert.deepEqual(
          decision.waiting.map(({ id }) => id),
          OTHERS.filter((id) => !isBlank(at(id))),
          what,
        );
        for (const { why } of decision.waiting) assert.notEqual(why, '', what);
        break;
      case 'again':
        break;
    }
  }

  it('needs nobody when there is nobody else', () => {
    const alone = { ...SELF, peers: ['s1'] };
    assert.deepEqual(decide(alone, undefined, new Map()), { kind: 'form', founders: { s1: 'me' } });
  });

  it('does not depend on the order in which --peers are written', () => {
    const round = roundOf(['blank', 'blank']);
    const other = { ...SELF, peers: ['s3', 's1', 's2'] };
    assert.equal(decide(other, round, round).kind, 'form');
  });

  it('says of each that it waits for why', () => {
    const why = (kind: Kind): string => {
      const decision = decide(SELF, undefined, roundOf([kind, 'blank']));
      assert.ok(decision.kind === 'wait');
      return defined(decision.waiting[0], 'somebody').why;
    };
    assert.equal(why('silent'), 'refused');
    assert.match(why('somebody else'), /at its address is server s3/);
    assert.match(why('forming another cluster'), /another cluster, 'd'/);
    assert.match(why('no metadata'), /without the role meta/);
    assert.match(why('other peers'), /other --peers \(s1, s2\)/);
    assert.match(why('joins'), /with --join/);
  });
});
