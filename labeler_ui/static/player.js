const HOLD_S = 0.6; // the last frame stands this long before the loop begins again
const LONGEST_TICK_S = 0.1; // after a pause of the browser itself, go on where it stopped
const LEAST_SMOOTH_WIDTH = 320; // smaller pictures keep their pixels when enlarged

/** Plays two films in step: one clock drives both canvases. */
export class Player {
  #contexts;
  #onChange;
  #films = [];
  #drawn = [];
  #time = 0; // seconds of film
  #tickedAt = null;
  #isPaused = false;
  #speed = 1;
  #reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

  /** `onChange({ isPaused, speed, position })` is called with each new state; position is 0..1. */
  constructor(canvases, onChange) {
    this.#contexts = canvases.map((canvas) => canvas.getContext("2d", { alpha: false }));
    this.#onChange = onChange;
    requestAnimationFrame((now) => this.#tick(now));
  }

  /** Shows the first frames at once. Who asked for less motion starts each pair by hand. */
  show(films) {
    this.#films = films;
    this.#isPaused = this.#reducedMotion.matches;
    films.forEach((film, side) => this.#fit(this.#contexts[side].canvas, film));
    this.#seek(0);
  }

  clear() {
    this.#films = [];
  }

  toggle() {
    this.#isPaused = !this.#isPaused;
    this.#report();
  }

  replay() {
    this.#isPaused = false;
    this.#seek(0);
  }

  setSpeed(speed) {
    this.#speed = speed;
    this.#report();
  }

  /** One frame on or back, paused. */
  step(by) {
    if (!this.#films.length) return;
    this.#isPaused = true;
    const [{ framesPerSecond }] = this.#films;
    const last = Math.round(this.#duration * framesPerSecond) - 1;
    const frame = Math.min(last, Math.floor(this.#time * framesPerSecond + 1e-6));
    this.#seek(Math.max(0, Math.min(last, frame + by)) / framesPerSecond);
  }

  get #duration() {
    return Math.max(...this.#films.map((film) => film.frames / film.framesPerSecond));
  }

  #fit(canvas, film) {
    if (canvas.width !== film.width) canvas.width = film.width;
    if (canvas.height !== film.height) canvas.height = film.height;
    canvas.style.setProperty("--ratio", film.width / film.height);
    canvas.classList.toggle("pixels", film.width < LEAST_SMOOTH_WIDTH);
  }

  #seek(time) {
    this.#time = time;
    this.#drawn = [];
    this.#draw();
    this.#report();
  }

  #tick(now) {
    const passed = Math.min((now - (this.#tickedAt ?? now)) / 1000, LONGEST_TICK_S);
    this.#tickedAt = now;
    if (this.#films.length && !this.#isPaused) {
      this.#time += passed * this.#speed;
      this.#endOrLoop();
      this.#draw();
      this.#report();
    }
    requestAnimationFrame((later) => this.#tick(later));
  }

  #endOrLoop() {
    if (this.#time < this.#duration + HOLD_S) return;
    this.#isPaused = this.#reducedMotion.matches;
    this.#time = 0;
  }

  #draw() {
    this.#films.forEach((film, side) => {
      const due = Math.floor(this.#time * film.framesPerSecond + 1e-6);
      const frame = Math.min(due, film.frames - 1);
      if (this.#drawn[side] === frame) return;
      film.draw(this.#contexts[side], frame);
      this.#drawn[side] = frame;
    });
  }

  #report() {
    const position = this.#films.length ? Math.min(1, this.#time / this.#duration) : 0;
    this.#onChange({ isPaused: this.#isPaused, speed: this.#speed, position });
  }
}
