import type { ServerId } from '../../base/ids.ts';
import { LatencyHistogram, type LatencySnapshot } from '../../base/request-stats.ts';
import type { RaftRole } from '../../core/raft/types.ts';

export interface RaftCountersSnapshot {
  /** Times that this replica stood for election, the asking beforehand (pre-vote) included. */
  readonly campaigns: number;
  readonly electionsWon: number;
  /** Times that this replica learned of another leader than the one before. */
  readonly leaderChanges: number;
  /** Synced writes of the Raft log: what every commit waits for. */
  readonly logWrites: LatencySnapshot;
}

const standing = (role: RaftRole): boolean => role === 'candidate' || role === 'pre-candidate';

/** What a replica has been through since it started. */
export class RaftCounters {
  readonly logWrites = new LatencyHistogram();
  #role: RaftRole = 'follower';
  #term = 0;
  #lastLeader: ServerId | undefined;
  #campaigns = 0;
  #electionsWon = 0;
  #leaderChanges = 0;

  /** As each Ready says. */
  onReady(role: RaftRole, term: number, leader: ServerId | undefined): void {
    if (standing(role) && !standing(this.#role)) this.#campaigns++;
    if (role === 'leader' && (this.#role !== 'leader' || term !== this.#term)) this.#electionsWon++;
    if (leader !== undefined && leader !== this.#lastLeader) {
      if (this.#lastLeader !== undefined) this.#leaderChanges++;
      this.#lastLeader = leader;
    }
    this.#role = role;
    this.#term = term;
  }

  snapshot(): RaftCountersSnapshot {
    return {
      campaigns: this.#campaigns,
      electionsWon: this.#electionsWon,
      leaderChanges: this.#leaderChanges,
      logWrites: this.logWrites.snapshot(),
    };
  }
}
