/** Where a test can crash the process or delay it. */
export const FAILPOINTS = [
  'formation-decided',
  'formation-recorded',
  'before-persist',
  'after-persist',
  'before-send',
  'before-apply',
  'after-apply',
  'snapshot-save',
  'snapshot-install',
  'snapshot-switched',
  'compaction',
  'compacted',
  'membership-change',
] as const;

export type FailpointName = (typeof FAILPOINTS)[number];

/** Called at these moments. */
export type Failpoint = (name: FailpointName) => void;

export const noFailpoint: Failpoint = () => undefined;
