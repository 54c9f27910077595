import type { Logger } from '../../ports/logger.ts';

export type RoleListener = (role: 'leader' | 'follower', term: number) => void;

export interface LeadershipHooks {
  /** This replica leads in `term` according to the core, and may act. */
  leads(term: number): boolean;
  /** Resolves when the state machine can serve; rejects when leadership was lost meanwhile. */
  prepare(): Promise<void>;
}

/**
 * What the layers above are told of leadership: that it began only when everything of earlier terms is applied, that it
 * ended as soon as that is known. Every announcement of `leader` is followed by one of `follower` before the next.
 */
export class Leadership {
  readonly #hooks: LeadershipHooks;
  readonly #logger: Logger;
  readonly #listeners: RoleListener[] = [];
  #announced: number | undefined;
  #preparing: number | undefined;

  constructor(components: { readonly logger: Logger; readonly hooks: LeadershipHooks }) {
    this.#hooks = components.hooks;
    this.#logger = components.logger;
  }

  onRoleChange(listener: RoleListener): void {
    this.#listeners.push(listener);
  }

  /** The term in which this replica was announced to lead. */
  get term(): number | undefined {
    return this.#announced;
  }

  /** Leadership of this term has ended, if it had begun. */
  end(term: number): void {
    this.#preparing = undefined;
    if (this.#announced === undefined) return;
    this.#announced = undefined;
    this.#logger.info({ term }, 'stopped leading');
    for (const listener of this.#listeners) listener('follower', term);
  }

  /** The core's leader has applied an entry of its own `term`. */
  async begin(term: number): Promise<void> {
    if (this.#announced === term || this.#preparing === term) return;
    this.#preparing = term;
    try {
      await this.#hooks.prepare();
    } catch (error) {
      if (this.#preparing === term) this.#preparing = undefined;
      this.#logger.warn({ err: error, term }, 'could not begin to lead');
      return;
    }
    if (this.#preparing !== term || !this.#hooks.leads(term)) return;
    this.#preparing = undefined;
    this.#announced = term;
    this.#logger.info({ term }, 'leading');
    for (const listener of this.#listeners) listener('leader', term);
  }
}
