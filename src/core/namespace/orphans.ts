import type { ReapOrphan } from '../../gen/ringfs/v1/namespace.ts';
import { dropChunks } from './content.ts';
import { addToCounters } from './counters.ts';
import { inodeKey, orphanKey, xattrKey, xattrNamesKey } from './keys.ts';
import { done, refused } from './outcome.ts';
import { ATTR, ORPHAN, XATTR_NAMES } from './rows.ts';
import type { ApplyOutcome, Rows } from './types.ts';

/**
 * Inodes without a name. They keep their rows, of whatever type they are, because an open handle still reads and changes
 * them; the leader has them reaped in steps once no session has them open. Only one that was made without a name can get
 * one, through a session that has it open, and not after its reaping has begun.
 */
export function reapOrphan(rows: Rows, index: number, command: ReapOrphan): ApplyOutcome {
  const { ino } = command;
  rows.require([inodeKey(ino), orphanKey(ino)]);
  const attr = rows.read(inodeKey(ino), ATTR);
  if (attr === undefined) return done(index);
  const orphan = rows.read(orphanKey(ino), ORPHAN);
  if (orphan === undefined) return refused(index, 'EBUSY', 'the inode has a name');
  if (command.chunksMax === 0) return refused(index, 'EINVAL', 'nothing to be done');

  // Only a regular file allocates, and one that has chunk rows has bytes in them.
  const hasChunks = attr.allocatedBytes > 0;
  const { left, allocatedBytes } = hasChunks
    ? dropChunks(rows, index, ino, attr.size, command.chunksMax)
    : { left: 0, allocatedBytes: 0 };
  if (left > 0) {
    if (orphan.linkable) rows.write(orphanKey(ino), ORPHAN, { ...orphan, linkable: false });
    const remaining = attr.allocatedBytes + allocatedBytes;
    rows.write(inodeKey(ino), ATTR, {
      ...attr,
      allocatedBytes: remaining,
      version: index,
      dataVersion: index,
    });
    return done(index, left);
  }
  for (const name of rows.read(xattrNamesKey(ino), XATTR_NAMES)?.names ?? []) rows.del(xattrKey(ino, name));
  rows.del(xattrNamesKey(ino));
  rows.del(inodeKey(ino));
  rows.del(orphanKey(ino));
  addToCounters(rows, index, -1, 0);
  return done(index);
}
