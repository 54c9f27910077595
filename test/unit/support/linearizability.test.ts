import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Random, seededRandom } from '../../../src/base/random.ts';
import { type FileInput, type FileOutput, fileModel } from '../../support/file-model.ts';
import {
  checkLinearizable,
  type Operation,
  partition,
  type SequentialModel,
} from '../../support/linearizability.ts';
import { type LockInput, type LockOutput, lockModel } from '../../support/lock-model.ts';

type RegisterInput = { readonly set: number } | 'get';
type RegisterOp = Operation<RegisterInput, number>;

/** A number; `set` answers with the number before. */
const register: SequentialModel<number, RegisterInput, number> = {
  initial: () => 0,
  step(state, input, output) {
    if (input === 'get') return output === state ? state : undefined;
    return output === undefined || output === state ? input.set : undefined;
  },
  changesNothing: (input) => input === 'get',
  key: String,
};

let clients = 0;
function op<I, O>(call: number, ret: number, input: I, output: O | undefined): Operation<I, O> {
  return { client: `c${clients++}`, call, ret, input, output };
}

/** All orders, without any cleverness. */
function bruteForce(operations: readonly RegisterOp[], state = 0): boolean {
  const known = operations.filter((o) => o.output !== undefined);
  if (known.length === 0) return true;
  const end = Math.min(...known.map((o) => o.ret));
  return operations.some((next) => {
    if (next.call >= end) return false;
    const after = register.step(state, next.input, next.output);
    return (
      after !== undefined &&
      bruteForce(
        operations.filter((o) => o !== next),
        after,
      )
    );
  });
}

function randomHistory(random: Random): RegisterOp[] {
  return Array.from({ length: 1 + random.below(6) }, () => {
    const call = random.below(20) + random.next();
    const ret = call + random.below(10) + random.next();
    const input: RegisterInput = random.below(2) === 0 ? 'get' : { set: random.below(3) };
    const unknown = input !== 'get' && random.below(5) === 0;
    return op(call, ret, input, unknown ? undefined : random.below(3));
  });
}

describe('the search for an order', () => {
  it('agrees with trying everything, on ten thousand small histories', () => {
    const random = seededRandom(1);
    const found = { ok: 0, violation: 0, unknown: 0 };
    for (let n = 0; n < 10_000; n++) {
      const history = randomHistory(random);
      const { verdict } = checkLinearizable(register, history);
      assert.equal(verdict, bruteForce(history) ? 'ok' : 'violation', JSON.stringify(history));
      found[verdict] += 1;
    }
    assert.ok(found.ok > 500 && found.violation > 500, JSON.stringify(found));
  });

  it('lets operations that overlap take either order, and others only one', () => {
    assert.equal(checkLinearizable(register, [op(1, 5, { set: 1 }, 0), op(2, 6, 'get', 0)]).verdict, 'ok');
    assert.equal(checkLinearizable(register, [op(1, 5, { set: 1 }, 0), op(2, 6, 'get', 1)]).verdict, 'ok');
    const late = checkLinearizable(register, [op(1, 5, { set: 1 }, 0), op(6, 7, 'get', 0)]);
    assert.equal(late.verdict, 'violation');
    assert.deepEqual(
      late.order.map((o) => o.input),
      [{ set: 1 }],
    );
    assert.deepEqual(
      late.stuck.map((o) => o.input),
      ['get'],
    );
  });

  it('an unknown outcome may take effect late or never, but not before its call', () => {
    const write = op<RegisterInput, number>(5, 6, { set: 1 }, undefined);
    assert.equal(checkLinearizable(register, [write, op(90, 91, 'get', 0)]).verdict, 'ok');
    assert.equal(
      checkLinearizable(register, [write, op(80, 81, 'get', 0), op(90, 91, 'get', 1)]).verdict,
      'ok',
    );
    assert.equal(
      checkLinearizable(register, [write, op(80, 81, 'get', 1), op(90, 91, 'get', 0)]).verdict,
      'violation',
    );
    assert.equal(checkLinearizable(register, [write, op(1, 2, 'get', 1)]).verdict, 'violation');
  });

  it('gives up in time', () => {
    // Many unknown writes before a read that none of them explains.
    const writes = Array.from({ length: 40 }, (_, i) =>
      op<RegisterInput, number>(i, i + 1, { set: i + 1 }, undefined),
    );
    const history = [...writes, op<RegisterInput, number>(100, 101, 'get', 99)];
    const { verdict, steps } = checkLinearizable(register, history, 10_000);
    assert.equal(verdict, 'unknown');
    assert.ok(steps < 11_000);
  });

  it('takes long histories of many clients, whatever the hints say', () => {
    const random = seededRandom(2);
    for (const hinted of [true, false]) {
      const history: RegisterOp[] = [];
      let state = 0;
      for (let at = 0; at < 3_000; at++) {
        const spread = random.next() * 3;
        const [call, ret] = [at - spread, at + 0.5 + random.next() * 3];
        const set = random.below(1_000_000);
        if (random.below(2) === 0) history.push(op(call, ret, 'get', state));
        else {
          history.push({
            ...op<RegisterInput, number>(call, ret, { set }, state),
            ...(hinted && { hint: at }),
          });
          state = set;
        }
      }
      assert.equal(checkLinearizable(register, history).verdict, 'ok');
      const wrong = history.with(2_500, op(2_500, 2_501, 'get', -1));
      assert.equal(checkLinearizable(register, wrong).verdict, 'violation');
    }
  });

  it('is done for each part by itself', () => {
    const parts = partition([op(1, 2, 'a', 1), op(1, 2, 'b', 1), op(3, 4, 'a', 2)], (input) => input);
    assert.deepEqual(
      [...parts].map(([key, ops]) => [key, ops.length]),
      [
        ['a', 2],
        ['b', 1],
      ],
    );
  });
});

/** One after the other. */
function files(...steps: readonly (readonly [FileInput, FileOutput | undefined])[]): string {
  const history = steps.map(([input, output], at) => op(2 * at, 2 * at + 1, input, output));
  return checkLinearizable(fileModel, history).verdict;
}

const ok = (more: object = {}): FileOutput => ({ ok: true, ...more });
const no = (error: string): FileOutput => ({ ok: false, error });
const create = (path: string, id = path): FileInput => ({ kind: 'create', path, id });

describe('the model of files', () => {
  it('knows names, links and content', () => {
    const steps = [
      [create('d/a'), ok({ file: '5' })],
      [create('d/a', 'again'), no('EEXIST')],
      [{ kind: 'link', file: '5', path: 'e/b' }, ok({ file: '5' })],
      [{ kind: 'append', file: '5', text: 'xy' }, ok({ offset: 0 })],
      [{ kind: 'append', file: '5', text: 'z' }, ok({ offset: 2 })],
      [{ kind: 'stat', file: '5' }, ok({ links: 2, size: 3 })],
      [{ kind: 'rename', from: 'd/a', to: 'e/b', mode: 'noreplace' }, no('EEXIST')],
      [{ kind: 'rename', from: 'd/a', to: 'e/b', mode: 'replace' }, ok({ file: '5' })],
      [{ kind: 'list', directory: 'd' }, ok({ entries: [['a', '5']] })],
      [{ kind: 'unlink', path: 'd/a' }, ok({ file: '5' })],
      [{ kind: 'rename', from: 'e/b', to: 'd/c', mode: 'exchange' }, no('ENOENT')],
      [{ kind: 'write', file: '5', text: 'w' }, ok()],
      [{ kind: 'read', file: '5' }, ok({ text: 'w' })],
      [{ kind: 'lookup', path: 'e/b' }, ok({ file: '5' })],
    ] as const;
    assert.equal(files(...steps), 'ok');
    for (let at = 0; at < steps.length; at++) {
      const [input] = steps[at]!;
      const wrong = steps.with(at, [input, ok({ file: '99', offset: 99, text: 'other' })]);
      assert.equal(files(...wrong), 'violation', JSON.stringify(input));
    }
  });

  it('exchanges', () => {
    const made = [
      [create('d/a'), ok({ file: '5' })],
      [create('d/b'), ok({ file: '6' })],
      [{ kind: 'rename', from: 'd/a', to: 'd/b', mode: 'exchange' }, ok({ file: '5' })],
    ] as const;
    const list = (a: string, b: string) =>
      [
        { kind: 'list', directory: 'd' },
        ok({
          entries: [
            ['a', a],
            ['b', b],
          ],
        }),
      ] as const;
    assert.equal(files(...made, list('6', '5')), 'ok');
    assert.equal(files(...made, list('5', '6')), 'violation');
  });

  it('learns later what an unknown create has made', () => {
    const made = [create('d/a'), undefined] as const;
    const seen = [{ kind: 'lookup', path: 'd/a' }, ok({ file: '5' })] as const;
    const other = [{ kind: 'lookup', path: 'd/a' }, ok({ file: '6' })] as const;
    assert.equal(files(made, [{ kind: 'lookup', path: 'd/a' }, ok()]), 'ok');
    assert.equal(files(made, seen, [{ kind: 'stat', file: '5' }, ok({ links: 1, size: 0 })]), 'ok');
    assert.equal(files(made, seen, other), 'violation');
    assert.equal(files(seen), 'violation');
    assert.equal(files([create('d/b'), ok({ file: '5' })], made, seen), 'violation');
  });

  it('a file without a name may go away, and does not come back', () => {
    const made = [create('d/a'), ok({ file: '5' })] as const;
    const gone = [{ kind: 'append', file: '5', text: 'x' }, no('ESTALE')] as const;
    const unlink = [{ kind: 'unlink', path: 'd/a' }, ok({ file: '5' })] as const;
    const append = [{ kind: 'append', file: '5', text: 'x' }, ok({ offset: 0 })] as const;
    assert.equal(files(made, gone), 'violation');
    assert.equal(files(made, unlink, append, gone), 'ok');
    assert.equal(files(made, unlink, gone, append), 'violation');
    assert.equal(files(made, unlink, [{ kind: 'link', file: '5', path: 'd/b' }, no('ENOENT')]), 'ok');
  });
});

describe('the model of locks', () => {
  const lock = (owner: string, exclusive = true): LockInput => ({ kind: 'lock', owner, exclusive });
  const unlock = (owner: string): LockInput => ({ kind: 'unlock', owner });
  function locks(...steps: readonly (readonly [LockInput, LockOutput | undefined])[]): string {
    const history = steps.map(([input, output], at) => op(2 * at, 2 * at + 1, input, output));
    return checkLinearizable(lockModel, history).verdict;
  }

  it('excludes', () => {
    assert.equal(locks([lock('a'), 'granted'], [lock('b'), 'refused']), 'ok');
    assert.equal(locks([lock('a'), 'granted'], [lock('b'), 'granted']), 'violation');
    assert.equal(locks([lock('a'), 'granted'], [unlock('a'), 'done'], [lock('b'), 'granted']), 'ok');
    assert.equal(locks([lock('a'), 'granted'], [unlock('a'), 'done'], [lock('b'), 'refused']), 'violation');
  });

  it('shares', () => {
    assert.equal(locks([lock('a', false), 'granted'], [lock('b', false), 'granted']), 'ok');
    assert.equal(locks([lock('a', false), 'granted'], [lock('b', false), 'refused']), 'violation');
    assert.equal(locks([lock('a', false), 'granted'], [lock('b'), 'granted']), 'violation');
  });

  it('are lost with the session', () => {
    const lost = [{ kind: 'lose', owner: 'a' }, undefined] as const;
    assert.equal(locks([lock('a'), 'granted'], lost, [lock('b'), 'granted']), 'ok');
    assert.equal(locks([lock('a'), 'granted'], lost, [lock('b'), 'refused']), 'ok');
  });
});
