import { request } from "./api.js";

const page = document.querySelector("#replay");
const video = page.querySelector("video");
const curve = page.querySelector("#curve");
const numbers = Object.fromEntries(
  Object.entries(page.dataset).map(([name, value]) => [name, Number(value)]),
);
const { episode, fps, firstFrame, steps, clipLength } = numbers;
const stretchLength = Math.min(clipLength, steps);

let step = 0; // steps that have been taken: picture 0 is the one before the first
let seekTo = null; // where to go once the seek that is under way has ended
let rewards = {};

page.querySelector("#screen").style.aspectRatio = `${numbers.width} / ${numbers.height}`;
page.querySelector("#screen").style.setProperty("--ratio", numbers.width / numbers.height);

/** The first step of the stretch around the current one. */
function stretchStart() {
  const start = step - Math.round(stretchLength / 2);
  return Math.max(0, Math.min(steps - stretchLength, start));
}

function show(now) {
  step = now;
  const start = stretchStart();
  for (const line of curve.querySelectorAll(".now")) {
    line.setAttribute("x1", step);
    line.setAttribute("x2", step);
  }
  for (const box of curve.querySelectorAll(".stretch")) box.setAttribute("x", start);
  curve.setAttribute("aria-valuenow", step);
  curve.setAttribute("aria-valuetext", `step ${step} of ${steps}`);
  write("#step", `step ${step.toLocaleString("en")} of ${steps.toLocaleString("en")}`);
  write("#from", (start + 1).toLocaleString("en"));
  write("#to", (start + stretchLength).toLocaleString("en"));
  showRewards();
}

function showRewards() {
  for (const name of ["predicted", "true"]) {
    if (!rewards[name]) continue;
    const spread = name === "predicted" && step ? ` ± ${rewards.disagreement[step - 1].toFixed(2)}` : "";
    write(`[data-now=${name}]`, step ? signed(rewards[name][step - 1]) + spread : "–");
    write(`[data-sum=${name}]`, signed(rewards[name].slice(0, step).reduce((a, b) => a + b, 0)));
  }
}

const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 3, signDisplay: "always" });

function signed(value) {
  return SHORT.format(value).replace("-", "−");
}

function write(selector, text) {
  const element = page.querySelector(selector);
  if (element) element.textContent = text;
}

/** Shows a step and its picture. Seeks are not piled up: the newest waits for the one before. */
function go(to) {
  video.pause();
  show(Math.max(0, Math.min(steps, Math.round(to))));
  seekTo = step;
  if (!video.seeking) seek();
}

function seek() {
  if (seekTo === null) return;
  video.currentTime = (firstFrame + seekTo + 0.5) / fps; // the middle of its frame
  seekTo = null;
}

/** While the video plays, the curve follows it. */
function follow() {
  if (video.paused) return;
  const playing = Math.floor(video.currentTime * fps + 1e-6) - firstFrame;
  if (playing > steps || video.ended) return go(steps);
  if (!video.seeking && playing !== step) show(Math.max(0, playing));
  requestAnimationFrame(follow);
}

function play() {
  if (!video.paused) return video.pause();
  if (step === steps) go(0);
  return video.play();
}

function setSpeed(chosen) {
  video.playbackRate = Number(chosen.dataset.speed);
  for (const button of page.querySelectorAll("[data-speed]")) {
    button.setAttribute("aria-pressed", button === chosen);
  }
}

async function queue() {
  const said = page.querySelector("#said");
  said.textContent = "…";
  try {
    said.textContent = (await request("/api/queue", { episode, start: stretchStart() })).said;
  } catch (error) {
    said.textContent = `Not queued: ${error.message}`;
  }
}

const ACTIONS = {
  play,
  back: () => go(step - 1),
  on: () => go(step + 1),
  speed: setSpeed,
  moment: (button) => go(Number(button.dataset.step)),
  queue,
};

const KEYS = {
  ArrowLeft: () => go(step - 1),
  ArrowDown: () => go(step - 1),
  ArrowRight: () => go(step + 1),
  ArrowUp: () => go(step + 1),
  PageDown: () => go(step - clipLength),
  PageUp: () => go(step + clipLength),
  Home: () => go(0),
  End: () => go(steps),
  " ": play,
};

function scrub({ clientX }) {
  const { left, width } = curve.querySelector("svg").getBoundingClientRect();
  go(((clientX - left) / width) * steps);
}

page.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-action]");
  if (button) ACTIONS[button.dataset.action](button);
});
curve.addEventListener("keydown", (event) => {
  if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  KEYS[event.key]();
});
curve.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  curve.setPointerCapture(event.pointerId);
  scrub(event);
});
curve.addEventListener("pointermove", (event) => {
  if (curve.hasPointerCapture(event.pointerId)) scrub(event);
});
video.addEventListener("click", play);
video.addEventListener("seeked", seek);
video.addEventListener("play", () => {
  write("#play", "Pause");
  requestAnimationFrame(follow);
});
video.addEventListener("ended", () => go(steps));
video.addEventListener("pause", () => write("#play", "Play"));

go(0);
rewards = await request(`/api/episodes/${episode}`);
showRewards();
