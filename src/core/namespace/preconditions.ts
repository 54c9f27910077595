import type { Precondition } from '../../gen/ringfs/v1/namespace.ts';
import { chunkKey, dentryKey, inodeKey } from './keys.ts';
import { ATTR, CHUNK, DENTRY } from './rows.ts';
import type { Rows } from './types.ts';

/** The current state of each precondition that does not hold; undefined when one of them says nothing at all. */
export function failedPreconditions(
  rows: Rows,
  preconditions: readonly Precondition[],
): Precondition[] | undefined {
  rows.require(preconditions.flatMap(preconditionKeys));
  const failed: Precondition[] = [];
  for (const { body } of preconditions) {
    switch (body?.$case) {
      case 'inode': {
        const version = rows.read(inodeKey(body.value.ino), ATTR)?.version ?? 0;
        if (version !== body.value.version) {
          failed.push({ body: { $case: 'inode', value: { ...body.value, version } } });
        }
        break;
      }
      case 'chunk': {
        const { ino, index } = body.value;
        const version = rows.read(chunkKey(ino, index), CHUNK)?.version ?? 0;
        if (version !== body.value.version) {
          failed.push({ body: { $case: 'chunk', value: { ino, index, version } } });
        }
        break;
      }
      case 'dentry': {
        const { parent, name } = body.value;
        const ino = rows.read(dentryKey(parent, name), DENTRY)?.ino ?? 0;
        if (ino !== body.value.ino) failed.push({ body: { $case: 'dentry', value: { parent, name, ino } } });
        break;
      }
      case undefined:
        return undefined;
    }
  }
  return failed;
}

export function preconditionKeys({ body }: Precondition): Uint8Array[] {
  switch (body?.$case) {
    case 'inode':
      return [inodeKey(body.value.ino)];
    case 'chunk':
      return [chunkKey(body.value.ino, body.value.index)];
    case 'dentry':
      return [dentryKey(body.value.parent, body.value.name)];
    case undefined:
      return [];
  }
}
