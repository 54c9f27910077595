import { NAME_BYTES_MAX } from '../../base/limits.ts';
import { fail } from './context.ts';

const SLASH = 0x2f;
const DOT = 0x2e;

/** A single component of a path (path_resolution(7)): not empty, not `.` or `..`, no slash, no zero byte. */
export function checkName(name: Uint8Array): void {
  if (name.length > NAME_BYTES_MAX) fail('ENAMETOOLONG');
  if (name.length === 0) fail('EINVAL', 'empty name');
  if (name[0] === DOT && (name.length === 1 || (name.length === 2 && name[1] === DOT))) {
    fail('EINVAL', 'name is . or ..');
  }
  for (const byte of name) if (byte === 0 || byte === SLASH) fail('EINVAL', 'slash or zero byte in name');
}
