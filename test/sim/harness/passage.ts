import { Violation, type World } from './world.ts';

/** Events between two turns of the real event loop. */
const BATCH_EVENTS = 100;

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

  /**
   * Until `condition` holds, which is looked at after every event, or every `pollMs` of virtual time if it is costly. That it does
   * not within `limitMs` is a violation: `what` says what is missing. Throws Over.
   */
  until(condition: () => boolean, limitMs: number, what: () => string, pollMs = 0): Promise<void> {
    const world = this.#world;
    const end = world.nowMs + limitMs;
    let lookAtMs = world.nowMs;
    let ran = false;
    const isOver = (): boolean => {
      if (ran) this.#onEvent();
      if (world.violation !== undefined) throw new Over();
      if (world.nowMs < lookAtMs) return false;
      lookAtMs = world.nowMs + pollMs;
      return condition();
    };
    /** False: it is over. */
    const step = (): boolean => {
      if (isOver()) return false;
      ran = world.queue.runNext(end);
      if (ran) return true;
      world.fail(new Violation('liveness', `after ${limitMs} ms: ${what()}`));
      throw new Over();
    };
    return eachWithItsMicrotasks(step);
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

/**
 * Calls `step` until it returns false or throws, each time with everything done that the former call has set off: Node runs all
 * microtasks between two immediates, and a turn of its event loop, which costs more than most events do, only between batches.
 */
function eachWithItsMicrotasks(step: () => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let going = true;
    const one = (): void => {
      if (!going) return;
      try {
        going = step();
        if (!going) resolve();
      } catch (error) {
        going = false;
        reject(error as Error);
      }
    };
    const batch = (): void => {
      if (!going) return;
      for (let i = 0; i < BATCH_EVENTS; i++) setImmediate(one);
      setImmediate(batch);
    };
    batch();
  });
}
