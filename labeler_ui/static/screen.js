const find = (selector) => document.querySelector(selector);
const number = new Intl.NumberFormat("en");

const ACTIVITY = {
  waiting: "agent waits for labels",
  training: "agent is training",
  stopped: "agent is not running",
};
// What it means, by what the agent did last, that the server has gone.
const RUN_ENDED =
  "the run has ended: prefrl serve and prefrl replay show what the agent has learnt.";
const ENDED = { waiting: RUN_ENDED, training: RUN_ENDED, stopped: "this page is closed." };

/**
 * The line of figures, and the bar that fills with the budget. `ahead` is how many pairs this tab
 * holds beside the one on the screen: the server does not count what is lent.
 */
export function showStatus(status, ahead, hasEnded) {
  if (!status) return;
  const { given, budget, answers_per_hour: pace, seconds_left: left, activity } = status;
  find("#given").textContent = `${number.format(given)} of ${number.format(budget)} answers`;
  find("#pace").textContent = pace === null ? "– an hour" : `${number.format(pace)} an hour`;
  find("#left-over").textContent = left === null ? "– left" : `${duration(left)} left`;
  const hasRunEnded = hasEnded && activity !== "stopped";
  find("#activity").textContent = hasRunEnded ? "the run has ended" : ACTIVITY[activity];
  find("#activity").dataset.activity = hasRunEnded ? "stopped" : activity;
  find("#ready").textContent = readiness(status.ready + ahead);
  for (const stale of ["#pace", "#left-over", "#ready"]) find(stale).hidden = given >= budget;
  find("#budget").max = budget || 1;
  find("#budget").value = given;
}

function readiness(pairs) {
  if (!pairs && find("#stage").dataset.query) return "the last pair ready";
  return `${number.format(pairs)} ${pairs === 1 ? "pair" : "pairs"} ready`;
}

function duration(seconds) {
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** The question above the clips: the run's own, or the one that is practised on. */
export function ask(question) {
  find("h1").textContent = question;
}

/** One line under the question; read aloud by screen readers. */
export function say(text) {
  find("#notice").textContent = text;
}

/** Confirms an answer: its button lights up, and a screen reader hears its words. */
export function showAnswer(answer) {
  const button = find(`[data-action="${answer}"]`);
  button.classList.remove("given");
  void button.offsetWidth; // restarts the animation
  button.classList.add("given");
  find("#heard").textContent = button.innerText.replace(/[←↑→↓]/, "");
  say("");
}

/** The state of both players, from `Player`. */
export function showPlayback({ isPaused, speed, position }) {
  find("#pause-name").textContent = isPaused ? "Play" : "Pause";
  find("#position").style.transform = `scaleX(${position})`;
  for (const button of document.querySelectorAll("[data-speed]")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.speed) === speed));
  }
}

/** With or without a pair on the screen. The reason stands where the clips would be. */
export function showPresence(pair, status, hasEnded) {
  const isThere = pair !== null;
  find("#stage").classList.toggle("vacant", !isThere);
  find("#stage").dataset.query = pair?.query ?? "";
  find("#vacancy").textContent = isThere ? "" : vacancy(status, hasEnded);
  for (const button of document.querySelectorAll("#answers button")) {
    button.setAttribute("aria-disabled", String(!isThere));
  }
}

function vacancy(status, hasEnded) {
  if (!status) return "Fetching the first pairs …";
  if (hasEnded) return `All answers are given, and ${ENDED[status.activity]} Thank you.`;
  if (status.given >= status.budget) return "All answers are given. Thank you.";
  if (status.activity === "stopped" && !status.ready) {
    return "No pair is left to compare, and the agent is not running.";
  }
  return "No pair is ready yet. The next one appears here by itself.";
}

function sentence(text) {
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** How many answers still wait for the server, and why. */
export function showUnsaved(size, error) {
  const line = find("#unsaved");
  line.hidden = !error;
  if (!error) return;
  const kept = size === 1 ? "1 answer is not saved yet" : `${size} answers are not saved yet`;
  line.textContent =
    error.status === 401
      ? `${sentence(error.message)} ${size ? `${kept}; kept in this browser.` : ""}`
      : `No connection to the run. ${size ? `${kept}; kept here and sent as soon as it is back.` : ""}`;
}
