/**
 * Heartbeat rounds of one leadership. Every round has a number that followers echo, so an answer tells when the question
 * was sent: what a quorum answered proves leadership at the time of sending, and nothing about the time of receiving.
 */
export class Rounds {
  /** Number of the latest round; 0 before the first. */
  latest = 0;
  /** The tick at which the latest round that a quorum answered was sent. */
  quorumTick = Number.NEGATIVE_INFINITY;
  /** Rounds of one tick share an entry, so there are at most as many as ticks without a quorum. */
  #sent: { readonly tick: number; readonly first: number; last: number }[] = [];

  reset(): void {
    this.latest = 0;
    this.quorumTick = Number.NEGATIVE_INFINITY;
    this.#sent = [];
  }

  start(tick: number): number {
    this.latest += 1;
    const newest = this.#sent.at(-1);
    if (newest !== undefined && newest.tick === tick) newest.last = this.latest;
    else this.#sent.push({ tick, first: this.latest, last: this.latest });
    return this.latest;
  }

  /** A quorum answered `round`. */
  answered(round: number): void {
    let done = 0;
    for (const sent of this.#sent) {
      if (sent.first > round) break;
      this.quorumTick = Math.max(this.quorumTick, sent.tick);
      if (sent.last > round) break;
      done += 1;
    }
    if (done > 0) this.#sent.splice(0, done);
  }
}
