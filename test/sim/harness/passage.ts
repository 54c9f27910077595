import { Violation, type World } from './world.ts';

/** Thrown to leave the run once a checker has spoken. */
export class Over extends Error {}

/** Lets the virtual time of a run pass, event by event. */
export class Passage {
  readonly #world: World;
  readonly #onEvent: () => void;

  /** `onEvent` is called after every event, with everything done that it has set off. */
  constructor(world: World, onEvent: () => void = () => undefined) {
    this.#world = world;
    this.#onEvent = onEvent;
  }

  /** Until `condition` holds. That it does not within `limitMs` is a violation: `what` says what is missing. Throws Over. */
  async until(condition: () => boolean, limitMs: number, what: () => string): Promise<void> {
    const end = this.#world.nowMs + limitMs;
    for (;;) {
      if (this.#world.violation !== undefined) throw new Over();
      if (condition()) return;
      if (!this.#world.queue.runNext(end)) {
        this.#world.fail(new Violation('liveness', `after ${limitMs} ms: ${what()}`));
        throw new Over();
      }
      // Everything that the event has set off, which are microtasks, is done before the next one.
      await new Promise<void>((resolve) => setImmediate(resolve));
      this.#onEvent();
    }
  }

  async pass(ms: number): Promise<void> {
    let over = false;
    this.#world.queue.after(ms, () => {
      over = true;
    });
    await this.until(
      () => over,
      ms + 1,
      () => 'time does not pass',
    );
  }

  async resolve<T>(promise: Promise<T>, limitMs: number, what: () => string): Promise<T> {
    let done = false;
    const finish = (): void => {
      done = true;
    };
    promise.then(finish, finish);
    await this.until(() => done, limitMs, what);
    return await promise;
  }
}
