import { sessionKey } from '../core/namespace/keys.ts';
import type { RowSource } from '../core/namespace/types.ts';

/** Whether the state machine knows the session. */
export async function sessionExists(state: RowSource, session: number): Promise<boolean> {
  return (await state.get(sessionKey(session))) !== undefined;
}
