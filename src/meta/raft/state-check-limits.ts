import {
  STATE_AUDIT_INTERVAL_MS,
  STATE_AUDIT_PAUSE_MS,
  STATE_CHECK_INTERVAL_MS,
  STATE_CHECK_WAIT_MS,
} from '../../base/limits.ts';

/** How often and how fast the rows of the replicas are compared, with each other and with the disk. Milliseconds. */
export interface StateCheckLimits {
  readonly intervalMs: number;
  readonly waitMs: number;
  readonly auditIntervalMs: number;
  readonly auditPauseMs: number;
}

export const STATE_CHECK_LIMITS: StateCheckLimits = {
  intervalMs: STATE_CHECK_INTERVAL_MS,
  waitMs: STATE_CHECK_WAIT_MS,
  auditIntervalMs: STATE_AUDIT_INTERVAL_MS,
  auditPauseMs: STATE_AUDIT_PAUSE_MS,
};
