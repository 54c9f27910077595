import type { Random } from '../../base/random.ts';
import type { Timers } from '../../ports/clock.ts';
import type { Logger } from '../../ports/logger.ts';

/** What the roles of one process share. */
export interface RoleComponents {
  readonly timers: Timers;
  readonly random: Random;
  readonly logger: Logger;
  /** The process had better end, since it can do nothing useful any more. */
  readonly fail: (reason: string) => void;
}
