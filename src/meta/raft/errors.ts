/** The replica must not start from this directory. The message is for people and says what to do. */
export class DataDirectoryError extends Error {
  override readonly name = 'DataDirectoryError';
}

/** The rows of this replica are not what they must be: it must not take part. The message is for people and says what to do. */
export class StateDivergedError extends Error {
  override readonly name = 'StateDivergedError';
}

/** The replica has stopped or is stopping. */
export class ReplicaStoppedError extends Error {
  override readonly name = 'ReplicaStoppedError';
  constructor() {
    super('the replica is stopped');
  }
}

/** A snapshot stream was not what it should be, or came at a bad time; the sender tries again later. */
export class SnapshotRefusedError extends Error {
  override readonly name = 'SnapshotRefusedError';
}
