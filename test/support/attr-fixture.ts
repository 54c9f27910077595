import { Attr } from '../../src/gen/ringfs/v1/namespace.ts';

/** Attributes that are zero but for `fields`. */
export function attrFixture(fields: Partial<Attr>): Attr {
  return { ...Attr.decode(new Uint8Array(0)), ...fields };
}
