import { toBinary } from '../../../src/base/bytes.ts';
import type { RaftEntry } from '../../../src/gen/ringfs/v1/raft.ts';

/** What Raft promises was broken. */
export class SafetyViolation extends Error {
  override readonly name = 'SafetyViolation';
}

interface Committed {
  readonly term: number;
  /** Of the node that was first seen to have it committed: an upper bound of the term in which it was committed. */
  readonly seenInTerm: number;
}

function fingerprint(entry: RaftEntry): string {
  return `${entry.type}:${toBinary(entry.data)}`;
}

/** Sees everything that all nodes do and checks the properties of figure 3 of the Raft paper, and what clients are promised. */
export class Oracle {
  readonly #leaders = new Map<number, string>();
  /** By "term:index": what the entry says and the term of the one before it. */
  readonly #entries = new Map<string, { readonly content: string; readonly prevTerm: number }>();
  readonly #committed: Committed[] = [];
  readonly #acknowledged = new Map<number, number>();
  /** Clients have seen the effects up to this index, by an acknowledged proposal or a read. */
  #visible = 0;

  get visible(): number {
    return this.#visible;
  }
  get committedIndex(): number {
    return this.#committed.length;
  }

  /** Election safety; leader completeness. `termAt` reads the new leader's log. */
  elected(id: string, term: number, firstIndex: number, termAt: (index: number) => number | undefined): void {
    const known = this.#leaders.get(term);
    if (known !== undefined && known !== id)
      throw new SafetyViolation(`${known} and ${id} lead term ${term}`);
    this.#leaders.set(term, id);
    for (let index = this.#committed.length; index >= firstIndex; index--) {
      const committed = this.#committed[index - 1]!;
      if (committed.seenInTerm >= term) continue;
      if (termAt(index) === committed.term) break;
      throw new SafetyViolation(`${id}, leader of term ${term}, lacks committed entry ${index}`);
    }
  }

  /** Log matching: the same index and term, the same entry after the same entry. */
  stored(id: string, entry: RaftEntry, prevTerm: number): void {
    const key = `${entry.term}:${entry.index}`;
    const known = this.#entries.get(key);
    const content = fingerprint(entry);
    if (known === undefined) {
      this.#entries.set(key, { content, prevTerm });
    } else if (known.content !== content || known.prevTerm !== prevTerm) {
      throw new SafetyViolation(`${id} has another entry ${entry.index} of term ${entry.term}`);
    }
  }

  /** A node of term `nodeTerm` takes entry `index` for committed. */
  committed(id: string, index: number, term: number | undefined, nodeTerm: number): void {
    const known = this.#committed[index - 1];
    if (known === undefined) {
      if (term === undefined || index !== this.#committed.length + 1) {
        throw new SafetyViolation(`${id} commits ${index}, which it does not have`);
      }
      this.#committed.push({ term, seenInTerm: nodeTerm });
    } else if (term !== undefined && known.term !== term) {
      throw new SafetyViolation(`${id} commits ${index} of term ${term}, not ${known.term}`);
    }
  }

  /** State machine safety: with log matching, the same term at an index is the same entry. */
  applied(id: string, entry: RaftEntry, previous: number): void {
    if (entry.index !== previous + 1)
      throw new SafetyViolation(`${id} applies ${entry.index} after ${previous}`);
    const known = this.#committed[entry.index - 1];
    if (known?.term !== entry.term) throw new SafetyViolation(`${id} applies another entry ${entry.index}`);
  }

  /** A client was told that its proposal took effect. */
  acknowledged(index: number, term: number): void {
    this.#acknowledged.set(index, term);
    this.#visible = Math.max(this.#visible, index);
  }

  /** A client was given the counter as of `applied`, having asked when `visibleThen` was visible to clients. */
  read(id: string, applied: number, visibleThen: number): void {
    if (applied < visibleThen) {
      throw new SafetyViolation(`${id} answers a read with ${applied} although ${visibleThen} was visible`);
    }
    this.#visible = Math.max(this.#visible, applied);
  }

  /** At the end: what was acknowledged is in the log that every member has applied, except what is still on its way to some. */
  checkAcknowledged(appliedEverywhere: number): void {
    for (const [index, term] of this.#acknowledged) {
      if (index <= appliedEverywhere && this.#committed[index - 1]?.term !== term) {
        throw new SafetyViolation(`the acknowledged proposal at ${index} is lost`);
      }
    }
  }
}
