import { ROOT_INO } from '../base/ids.ts';
import { DIRECTORY_WALK_MAX } from '../base/limits.ts';
import { type Scratch, TAG, tagNumberRange } from '../core/namespace/check/scratch.ts';
import { readU64 } from '../core/namespace/keys.ts';

const INO_BYTES = 8;
const UTF8 = new TextDecoder('utf-8', { fatal: true });

/** One of the names of an inode, from the root: `sorted` is what checkNamespace has sorted. Undefined: it has none. */
export async function pathOf(sorted: Scratch, ino: number): Promise<string | undefined> {
  const names: string[] = [];
  for (let at = ino; at !== ROOT_INO; ) {
    const link = await firstLink(sorted, at);
    // In a damaged namespace the way up may be a circle.
    if (link === undefined || names.length >= DIRECTORY_WALK_MAX)
      return names.length === 0 ? undefined : `<inode ${at}>/${names.reverse().join('/')}`;
    names.push(nameText(link.name));
    at = link.parent;
  }
  return `/${names.reverse().join('/')}`;
}

async function firstLink(
  sorted: Scratch,
  ino: number,
): Promise<{ parent: number; name: Uint8Array } | undefined> {
  const numbers = 1 + INO_BYTES;
  for await (const [key] of sorted.scan({ ...tagNumberRange(TAG.link, ino), limit: 1 }))
    return { parent: readU64(key, numbers), name: key.slice(numbers + INO_BYTES) };
  return undefined;
}

/** What a terminal can show: bytes that are no UTF-8, and control characters, as \xNN. */
function nameText(name: Uint8Array): string {
  try {
    const text = UTF8.decode(name);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (!/[\u0000-\u001f\u007f\\]/.test(text)) return text;
  } catch {
    // Not UTF-8.
  }
  let out = '';
  for (const byte of name) {
    const plain = byte >= 0x20 && byte < 0x7f && byte !== 0x5c;
    out += plain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return out;
}
