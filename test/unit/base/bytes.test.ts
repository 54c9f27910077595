import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../../src/base/bytes.ts';

describe('hexadecimal digits', () => {
  it('are bytes and back, in either case', () => {
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    assert.equal(toHex(all), Buffer.from(all).toString('hex'));
    assert.deepEqual(fromHex(toHex(all)), all);
    assert.deepEqual(fromHex(toHex(all).toUpperCase()), all);
    assert.deepEqual(fromHex(''), new Uint8Array(0));
  });

  it('nothing else is one', () => {
    for (let code = 0; code < 0x180; code++) {
      const character = String.fromCharCode(code);
      const valid = /[0-9a-fA-F]/.test(character);
      for (const text of [`${character}0`, `0${character}`, `00${character}f`]) {
        if (valid) assert.equal(toHex(fromHex(text)), text.toLowerCase());
        else assert.throws(() => fromHex(text), RangeError, JSON.stringify(text));
      }
    }
    assert.throws(() => fromHex('0'), RangeError);
    assert.throws(() => fromHex('000'), RangeError);
  });
});
