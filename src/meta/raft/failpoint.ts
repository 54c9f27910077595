/** Called at named moments so that a test can crash the process or delay it there. */
export type Failpoint = (
  name:
    | 'before-persist'
    | 'after-persist'
    | 'before-send'
    | 'before-apply'
    | 'after-apply'
    | 'snapshot-save'
    | 'snapshot-install'
    | 'snapshot-switched'
    | 'compaction',
) => void;

export const noFailpoint: Failpoint = () => undefined;
