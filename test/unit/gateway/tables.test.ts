import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ERRNO, type ErrnoName, FsError } from '../../../src/base/errno.ts';
import { failureOf, GatewayError, STATUS_BY_ERRNO } from '../../../src/gateway/errors.ts';
import { decodeName, encodeName, parsePath } from '../../../src/gateway/path.ts';
import { rangeOf } from '../../../src/gateway/range.ts';

describe('errors', () => {
  it('each errno has a status that says no', () => {
    assert.deepEqual(Object.keys(STATUS_BY_ERRNO).sort(), Object.keys(ERRNO).sort());
    for (const [code, status] of Object.entries(STATUS_BY_ERRNO)) {
      assert.ok(status >= 400 && status < 600, code);
      assert.equal(failureOf(new FsError(code as ErrnoName)).status, status);
    }
  });

  it('say what the file system says, and nothing of what went wrong inside', () => {
    const told = failureOf(new FsError('EISDIR', 'a detail'));
    assert.deepEqual([told.status, told.code, told.message], [409, 'EISDIR', 'a detail']);
    const inner = failureOf(new TypeError('secret of the program'));
    assert.deepEqual([inner.status, inner.code], [500, 'EIO']);
    assert.doesNotMatch(inner.message, /secret/);
    assert.deepEqual(failureOf(new FsError('ENFILE')).headers, { 'retry-after': '1' });
    const refused = failureOf(new GatewayError('BAD_RANGE', 'no', { 'content-range': 'bytes */3' }));
    assert.deepEqual([refused.status, refused.headers], [416, { 'content-range': 'bytes */3' }]);
  });
});

describe('rangeOf', () => {
  const cases: [string | undefined, number, ReturnType<typeof rangeOf>][] = [
    [undefined, 10, 'all'],
    ['bytes=0-0', 10, { first: 0, last: 0 }],
    ['bytes=0-', 10, { first: 0, last: 9 }],
    ['bytes=9-9', 10, { first: 9, last: 9 }],
    ['bytes=9-10', 10, { first: 9, last: 9 }],
    ['bytes=10-', 10, 'none'],
    ['bytes=10-20', 10, 'none'],
    ['bytes=-0', 10, 'none'],
    ['bytes=-1', 10, { first: 9, last: 9 }],
    ['bytes=-99', 10, { first: 0, last: 9 }],
    ['bytes=-1', 0, 'none'],
    ['bytes=0-', 0, 'none'],
    ['bytes=5-4', 10, 'all'],
    ['bytes=-', 10, 'all'],
    ['bytes=a-b', 10, 'all'],
    ['bytes=0-1,3-4', 10, 'all'],
    ['lines=0-1', 10, 'all'],
    ['BYTES=0-1', 10, { first: 0, last: 1 }],
    [`bytes=0-${'9'.repeat(400)}`, 10, { first: 0, last: 9 }],
    [`bytes=${'9'.repeat(400)}-`, 10, 'none'],
  ];
  for (const [header, size, expected] of cases)
    it(`${header?.slice(0, 30)} of ${size}`, () => assert.deepEqual(rangeOf(header, size), expected));

  it('never leaves the file', () => {
    fc.assert(
      fc.property(fc.nat(), fc.option(fc.nat(), { nil: '' }), fc.nat({ max: 1000 }), (from, to, size) => {
        const range = rangeOf(`bytes=${from}-${to}`, size);
        if (typeof range === 'string') return;
        assert.ok(range.first === from && range.first <= range.last && range.last < size);
      }),
    );
  });
});

describe('names in paths', () => {
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 255 })
    .filter(
      (bytes) =>
        !bytes.includes(0) && !bytes.includes(0x2f) && !/^\.\.?$/.test(String.fromCharCode(...bytes)),
    );

  it('come back from their encoding, whatever bytes they are', () => {
    fc.assert(
      fc.property(fc.array(name, { minLength: 1, maxLength: 5 }), (names) => {
        const encoded = names.map(encodeName);
        for (const text of encoded) assert.match(text, /^[A-Za-z0-9\-._~%]+$/);
        assert.deepEqual(parsePath(encoded.join('/')), { names, directory: false });
        assert.deepEqual(parsePath(`${encoded.join('/')}/`), { names, directory: true });
      }),
    );
  });

  it('are refused or are one component, whatever a client sends', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 40 }), (text) => {
        let decoded: Uint8Array;
        try {
          decoded = decodeName(text);
        } catch (error) {
          assert.ok(error instanceof GatewayError && error.code === 'BAD_PATH');
          return;
        }
        assert.ok(decoded.length > 0 && !decoded.includes(0) && !decoded.includes(0x2f));
        assert.ok(!['.', '..'].includes(String.fromCharCode(...decoded)));
      }),
    );
  });
});
