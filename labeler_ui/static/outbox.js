import { Refused, request } from "./api.js";

const RETRY_MS = 1000;

/**
 * Answers on their way: kept in local storage until the server has confirmed them, sent one after
 * the other in the order in which they were given, sent again while nobody confirms.
 *
 * Each lies under a key of its own, so that two tabs never overwrite each other's. A tab also sends
 * what another one left behind; the server stores what is sent twice once.
 */
export class Outbox {
  #prefix;
  #on;
  #isSending = false;
  #stamp = 0;
  #retry;

  /**
   * `on.confirmed(path, body, response)`, `on.refused(path, body, error)` for what the server will
   * never take, `on.changed(size, error)`: how many wait, and why, if sending failed.
   */
  constructor(prefix, on) {
    this.#prefix = prefix;
    this.#on = on;
  }

  get size() {
    return this.#keys().length;
  }

  /** Queries that an entry is about. */
  get queries() {
    return new Set(this.#paths().keys());
  }

  /** Those whose newest entry is an answer: after a reload nothing else remembers them. */
  get answered() {
    const answers = [...this.#paths()].filter(([, path]) => path === "/api/answers");
    return new Set(answers.map(([query]) => query));
  }

  add(path, body) {
    this.#stamp = Math.max(Date.now(), this.#stamp + 1);
    const key = `${this.#prefix}${this.#stamp}:${body.id}`;
    localStorage.setItem(key, JSON.stringify({ path, body }));
    this.#on.changed(this.size, null);
    this.send();
  }

  /** Sends all that waits, unless that is under way. */
  async send() {
    if (this.#isSending) return;
    this.#isSending = true;
    clearTimeout(this.#retry);
    try {
      for (let key; (key = this.#keys()[0]); ) await this.#sendOne(key);
      this.#on.changed(0, null);
    } catch (error) {
      this.#on.changed(this.size, error);
      this.#retry = setTimeout(() => this.send(), RETRY_MS);
    } finally {
      this.#isSending = false;
    }
  }

  async #sendOne(key) {
    const entry = read(key);
    if (!entry) return; // another tab has just delivered it
    const { path, body } = entry;
    try {
      const response = await request(path, body);
      if (!response?.stored && !response?.withdrawn) throw new Error("another program answers");
      localStorage.removeItem(key);
      this.#on.confirmed(path, body, response);
    } catch (error) {
      if (!(error instanceof Refused) || error.isTemporary) throw error;
      localStorage.removeItem(key);
      this.#on.refused(path, body, error);
    }
  }

  /** By query, where its newest entry goes. */
  #paths() {
    const entries = this.#keys().map(read);
    return new Map(entries.map((entry) => [entry?.body.query, entry?.path]));
  }

  #keys() {
    return Object.keys(localStorage)
      .filter((key) => key.startsWith(this.#prefix))
      .sort();
  }
}

function read(key) {
  return JSON.parse(localStorage.getItem(key));
}
