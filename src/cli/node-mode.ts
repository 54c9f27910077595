import { BlockNodeMode } from '../gen/ringfs/v1/namespace.ts';

export type NodeMode = 'active' | 'draining' | 'drained' | 'removed';

/** What people call it. `drained`: the node has said that it has handed over everything. */
export function modeName(mode: BlockNodeMode | undefined, drained: boolean): NodeMode {
  if (mode === BlockNodeMode.REMOVED) return 'removed';
  if (mode !== BlockNodeMode.DRAINING) return 'active';
  return drained ? 'drained' : 'draining';
}
