import type { Time } from '../../gen/ringfs/v1/namespace.ts';
import { fail } from './context.ts';

export function checkTime(time: Time): void {
  if (time.nsec >= 1_000_000_000) fail('EINVAL', 'nanoseconds');
}
