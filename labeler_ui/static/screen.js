const find = (selector) => document.querySelector(selector);
const number = new Intl.NumberFormat("en");

const ACTIVITY = {
  waiting: "agent waits for labels",
  training: "agent is training",
  stopped: "agent is not running",
};

/** The line of figures, and the bar that fills with the budget. */
export function showStatus(status) {
  const { given, budget, answers_per_hour: pace, seconds_left: left, ready, activity } = status;
  find("#given").textContent = `${number.format(given)} of ${number.format(budget)} answers`;
  find("#pace").textContent = pace === null ? "– an hour" : `${number.format(pace)} an hour`;
  find("#left-over").textContent = left === null ? "– left" : `${duration(left)} left`;
  find("#activity").textContent = ACTIVITY[activity];
  find("#activity").dataset.activity = activity;
  find("#ready").textContent = `${number.format(ready)} ${ready === 1 ? "pair" : "pairs"} ready`;
  find("#budget").max = budget || 1;
  find("#budget").value = given;
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
export function showPresence(pair, status) {
  const isThere = pair !== null;
  find("#stage").classList.toggle("vacant", !isThere);
  find("#stage").dataset.query = pair?.query ?? "";
  find("#vacancy").textContent = isThere ? "" : vacancy(status);
  for (const button of document.querySelectorAll("#answers button")) {
    button.setAttribute("aria-disabled", String(!isThere));
  }
}

function vacancy(status) {
  if (!status) return "Fetching the first pairs …";
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
