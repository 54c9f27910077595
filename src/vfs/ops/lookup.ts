import { FsError } from '../../base/errno.ts';
import type { Ino } from '../../base/ids.ts';
import type { Attr } from '../../gen/ringfs/v1/namespace.ts';
import type { VfsCore } from '../core.ts';
import { checkName } from './names.ts';

export async function lookup(
  core: VfsCore,
  parent: Ino,
  name: Uint8Array,
  signal?: AbortSignal,
): Promise<Attr> {
  checkName(name);
  const found = await core.meta.lookup(parent, name, signal);
  if (!found) throw new FsError('ENOENT');
  const attr = await core.view(found, signal);
  core.kernel.lookedUp(attr.ino);
  return attr;
}
