const KEPT = 15; // all of them taken back, and those ahead, are no more than a page may lease

/** The answers that this tab gave last, for undo; they outlive a reload. */
export class Given {
  #key;
  #pairs;

  constructor(key) {
    this.#key = key;
    this.#pairs = JSON.parse(sessionStorage.getItem(key) ?? "[]");
  }

  get isEmpty() {
    return !this.#pairs.length;
  }

  /** Remembers a pair as the server described it. */
  add({ query, left, right, lease_s }) {
    this.#pairs.push({ query, left, right, lease_s });
    this.#save();
  }

  /** The newest, forgotten; undefined when there is none. */
  takeLast() {
    const last = this.#pairs.pop();
    this.#save();
    return last;
  }

  forget(query) {
    this.#pairs = this.#pairs.filter((pair) => pair.query !== query);
    this.#save();
  }

  #save() {
    this.#pairs = this.#pairs.slice(-KEPT);
    sessionStorage.setItem(this.#key, JSON.stringify(this.#pairs));
  }
}
