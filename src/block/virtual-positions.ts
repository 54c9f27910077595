import { createHash } from 'node:crypto';
import { type Position, toPosition } from '../core/chord/identifiers.ts';

/** Where the virtual nodes of a node lie: the same at every start. */
export function virtualPositions(nodeId: string, count: number): Position[] {
  return Array.from({ length: count }, (_, k) =>
    toPosition(createHash('sha256').update(`${nodeId}/${k}`).digest('hex')),
  );
}
