import type { Command, Commit, Extent, Op } from '../../gen/ringfs/v1/namespace.ts';
import { chunkOf, endOf } from './extents.ts';
import {
  blockKey,
  blockNodeKey,
  CLUSTER_KEY,
  COUNTERS_KEY,
  chunkKey,
  dentryKey,
  inodeKey,
  lockedInodesKey,
  lockKey,
  nonceKey,
  orphanKey,
  RECLAIM_KEY,
  sessionKey,
  xattrNamesKey,
} from './keys.ts';
import { lockBucket } from './locks/session-locks.ts';
import { preconditionKeys } from './preconditions.ts';

/**
 * The rows that a command will need, as far as it alone tells: loading them at once saves a round trip for each. What
 * is not in the list is found by RowNotLoaded; what is in it in vain only costs a read.
 */
export function prefetchKeys(command: Command): Uint8Array[] {
  const { body } = command;
  switch (body?.$case) {
    case 'commit':
      return commitKeys(body.value);
    case 'openSession':
      return [nonceKey(body.value.nonce)];
    case 'expireSessions':
      return body.value.sessions.map(sessionKey);
    case 'reapOrphan': {
      const { ino } = body.value;
      return [inodeKey(ino), orphanKey(ino), chunkKey(ino, 0), xattrNamesKey(ino), COUNTERS_KEY];
    }
    case 'registerBlockNode':
      return body.value.node === undefined ? [] : [blockNodeKey(body.value.node.id)];
    case 'initCluster':
      return [CLUSTER_KEY, COUNTERS_KEY];
    case 'condemnBlocks':
      return [RECLAIM_KEY, ...body.value.copies.map(({ blockId }) => blockKey(blockId))];
    case 'markBlocks':
      return body.value.blocks.map(({ blockId }) => blockKey(blockId));
    case 'dropBlocks':
      return [RECLAIM_KEY, ...body.value.blocks.map(({ blockId }) => blockKey(blockId))];
    case 'setBlockNodeMode':
      return [blockNodeKey(body.value.id)];
    case 'checkState':
    case 'stateVerdict':
    case undefined:
      return [];
  }
}

function commitKeys(commit: Commit): Uint8Array[] {
  const keys = [sessionKey(commit.session), COUNTERS_KEY];
  for (const precondition of commit.preconditions) keys.push(...preconditionKeys(precondition));
  for (const id of commit.assumedBlocks) keys.push(blockKey(id));
  if (commit.ops.some(namesBlocks)) keys.push(RECLAIM_KEY);
  for (const op of commit.ops) opKeys(commit.session, op, keys);
  return keys;
}

function opKeys(session: number, { body }: Op, keys: Uint8Array[]): void {
  switch (body?.$case) {
    case 'makeNode':
      keys.push(inodeKey(body.value.parent));
      if (body.value.unnamed === undefined) keys.push(dentryKey(body.value.parent, body.value.name));
      break;
    case 'unlink':
    case 'removeDir':
      keys.push(inodeKey(body.value.parent), dentryKey(body.value.parent, body.value.name));
      break;
    case 'link':
      keys.push(inodeKey(body.value.ino), inodeKey(body.value.parent));
      keys.push(dentryKey(body.value.parent, body.value.name));
      break;
    case 'rename': {
      const { parent, name, newParent, newName } = body.value;
      keys.push(inodeKey(parent), dentryKey(parent, name));
      keys.push(inodeKey(newParent), dentryKey(newParent, newName));
      break;
    }
    case 'setAttr':
      keys.push(inodeKey(body.value.ino));
      if (body.value.size !== undefined) keys.push(chunkKey(body.value.ino, 0));
      break;
    case 'writeExtents':
      keys.push(inodeKey(body.value.ino));
      extentKeys(body.value.ino, body.value.extents, keys);
      break;
    case 'appendExtents':
      keys.push(inodeKey(body.value.ino), chunkKey(body.value.ino, 0));
      for (const extent of body.value.extents)
        if (extent.blockId.length > 0) keys.push(blockKey(extent.blockId));
      break;
    case 'fallocate':
      keys.push(inodeKey(body.value.ino));
      if (body.value.punch) keys.push(chunkKey(body.value.ino, chunkOf(body.value.offset)));
      break;
    case 'copyRange': {
      const { ino, offset, source, sourceOffset } = body.value;
      keys.push(inodeKey(ino), chunkKey(ino, chunkOf(offset)));
      keys.push(inodeKey(source), chunkKey(source, chunkOf(sourceOffset)));
      break;
    }
    case 'setXattr':
    case 'removeXattr':
      keys.push(inodeKey(body.value.ino), xattrNamesKey(body.value.ino));
      break;
    case 'setLock':
    case 'cancelLock':
      keys.push(lockKey(body.value.ino), lockedInodesKey(session, lockBucket(body.value.ino)));
      if (body.$case === 'setLock') keys.push(inodeKey(body.value.ino));
      break;
    case undefined:
      break;
  }
}

function namesBlocks({ body }: Op): boolean {
  if (body?.$case !== 'writeExtents' && body?.$case !== 'appendExtents') return false;
  return body.value.extents.some((extent) => extent.blockId.length > 0);
}

function extentKeys(ino: number, extents: readonly Extent[], keys: Uint8Array[]): void {
  for (const extent of extents) {
    if (extent.blockId.length > 0) keys.push(blockKey(extent.blockId));
    const first = chunkOf(extent.offset);
    keys.push(chunkKey(ino, first));
    // A valid extent is shorter than a chunk, so it touches two at most.
    const last = chunkOf(endOf(extent) - 1);
    if (last === first + 1) keys.push(chunkKey(ino, last));
  }
}
