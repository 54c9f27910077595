/** What mount(8) knows for every file system. */
export interface MountFlags {
  readonly readOnly?: boolean;
  /** Ignore setuid and setgid bits. */
  readonly noSuid?: boolean;
  /** Device files cannot be opened. */
  readonly noDev?: boolean;
  /** Programs cannot be started. */
  readonly noExec?: boolean;
}

export interface StopOptions {
  /** Detach at once even when files are open; they keep working until closed. */
  readonly lazy?: boolean;
  /** Detach at once and fail what is still open. For a cluster that does not answer. */
  readonly force?: boolean;
}

/** Makes a FileSystem visible as a directory. Implemented by mount/devfuse and mount/fuse-native. */
export interface FrontEnd {
  /** Resolves when the directory is mounted and answers. Throws MountError. Start and stop at most once. */
  start(): Promise<void>;
  /** Unmounts. Throws MountError `busy` when files are open and neither `lazy` nor `force` is given; the mount stays then. */
  stop(options?: StopOptions): Promise<void>;
  /** Resolves when the mount is gone, by `stop` or from outside (umount(8)), and no request is being answered any more. */
  readonly unmounted: Promise<void>;
}
