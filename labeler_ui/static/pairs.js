import { request } from "./api.js";
import { Film } from "./film.js";

const AHEAD = 3; // pairs fetched and decoded before they are needed
const MOST_PAIRS = 20; // that the server lends to a page

/**
 * The pairs leased to this tab, oldest first, decoded ahead. The first is the one on the screen.
 *
 * A pair is `{ query, left, right, lease_s }` as the server described it, with `films` once both
 * are decoded.
 */
export class Pairs {
  #session;
  #outbox;
  #onChange;
  #onStatus;
  #queue = []; // never changed in place: `#lease` keeps what it was
  #answered = new Set();
  #filling = null;
  #fillAgain = false;

  /** `onChange()` after each change; `onStatus(status)` with what the server says of the run. */
  constructor(session, outbox, { onChange, onStatus }) {
    this.#session = session;
    this.#outbox = outbox;
    this.#onChange = onChange;
    this.#onStatus = onStatus;
  }

  /** The pair to show, or undefined while none is ready. */
  get first() {
    return this.#queue[0]?.films && this.#queue[0];
  }

  /** How many this tab holds for after the first. */
  get ahead() {
    return Math.max(0, this.#queue.length - 1);
  }

  /** Lets go of an answered pair. */
  remove(pair) {
    this.#answered.add(pair.query);
    this.#drop(pair);
  }

  /** Lets a pair come again whose answer was refused, if the server still lends it to this tab. */
  readmit(query) {
    this.#answered.delete(query);
  }

  /** Brings an answered pair back, before all others. */
  async restore(pair) {
    this.#answered.delete(pair.query);
    const restored = { ...pair, films: undefined };
    this.#queue = [restored, ...this.#queue];
    await this.#decode(restored);
  }

  /** Leases what is missing, and renews what is held. Throws as `request` does. */
  async fill() {
    this.#fillAgain = this.#filling !== null;
    this.#filling ??= this.#lease().finally(() => (this.#filling = null));
    await this.#filling;
    if (this.#fillAgain) await this.fill();
  }

  async #lease() {
    const held = this.#queue;
    const unsent = this.#outbox.queries;
    const known = new Set([...unsent, ...held.map((pair) => pair.query)]);
    const n = Math.min(MOST_PAIRS, Math.max(AHEAD + 1, known.size));
    const { pairs, status } = await request("/api/leases", { session: this.#session, n });
    this.#dropLost(held, new Set([...unsent, ...pairs.map((pair) => pair.query)]));
    this.#takeIn(pairs);
    this.#onStatus(status);
    this.#onChange();
  }

  /**
   * Of the pairs that were held when the request left, drops those that were neither lent nor
   * unsent. A pair restored since is a new object, and the next response judges it.
   */
  #dropLost(held, kept) {
    for (const pair of held) {
      if (!kept.has(pair.query)) this.#drop(pair);
    }
  }

  #takeIn(pairs) {
    const here = this.#queue.map((pair) => pair.query);
    const settled = new Set([...here, ...this.#answered, ...this.#outbox.answered]);
    for (const pair of pairs) {
      if (settled.has(pair.query)) continue;
      this.#queue = [...this.#queue, pair];
      this.#decode(pair);
    }
  }

  async #decode(pair) {
    try {
      pair.films = await Promise.all([Film.load(pair.left), Film.load(pair.right)]);
    } catch {
      this.#drop(pair); // the next filling brings it again
    }
    if (!this.#queue.includes(pair)) pair.films?.forEach((film) => film.close());
    this.#onChange();
  }

  #drop(pair) {
    this.#queue = this.#queue.filter((other) => other !== pair);
    pair.films?.forEach((film) => film.close());
  }
}
