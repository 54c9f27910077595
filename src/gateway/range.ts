/** Bytes of a file: both inclusive, `first <= last`. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

/**
 * What `Range` asks for of a file of `size` bytes (RFC 9110, 14.1.2). `all`: the header is to be ignored, since it is not understood or
 * asks for several ranges at once. `none`: nothing of it exists, which is status 416.
 */
export function rangeOf(header: string | undefined, size: number): ByteRange | 'all' | 'none' {
  if (header === undefined) return 'all';
  const match = /^bytes=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(header);
  if (match === null) return 'all';
  const [, from = '', to = ''] = match;
  if (from === '' && to === '') return 'all';
  if (from === '') {
    const length = Math.min(Number(to), size);
    return length === 0 ? 'none' : { first: size - length, last: size - 1 };
  }
  const first = Number(from);
  const last = to === '' ? size - 1 : Math.min(Number(to), size - 1);
  if (to !== '' && Number(to) < first) return 'all';
  return first >= size ? 'none' : { first, last };
}
