/** The label page: what happens when. What it looks like is in `screen.js`. */

import { Refused, request, uuid } from "./api.js";
import { listen } from "./controls.js";
import { Given } from "./given.js";
import { Outbox } from "./outbox.js";
import { Pairs } from "./pairs.js";
import { Player } from "./player.js";
import { practicePairs } from "./practice.js";
import * as screen from "./screen.js";

const RENEW_MS = 40_000; // a lease lasts 120 s, and a hidden tab's clock ticks once a minute
const STATUS_MS = 5_000;
const RETRY_MS = 1_000;
const LONGEST_ANSWER_S = 24 * 3600; // the server takes no more
const ANSWERS = ["left", "right", "equal", "incomparable"];

const { run, labeler } = document.body.dataset;
const place = `prefrl:${run}:${labeler}:`;
const session = (sessionStorage[`${place}session`] ??= uuid());
const given = new Given(`${place}given`);
const outbox = new Outbox(`${place}outbox:`, { confirmed, refused, changed: screen.showUnsaved });
const pairs = new Pairs(session, outbox, { onChange: advance, onStatus });
const player = new Player([...document.querySelectorAll("canvas")], screen.showPlayback);
const help = document.querySelector("#help");
const question = document.querySelector("h1").textContent;

let practice = [];
let practised = [];
let shown = null;
let shownAt = 0;
let status = null;
let hasEnded = false; // all answers are given and saved, and the server has gone

// --- answers -------------------------------------------------------------------------------------

function answer(choice, pressedAt) {
  if (!shown) return;
  screen.showAnswer(choice);
  if (practice.length) tryOut(choice);
  else give(choice);
  advance();
  if (shown) measure(pressedAt);
}

function give(choice) {
  given.add(shown);
  outbox.add("/api/answers", {
    id: uuid(),
    session,
    query: shown.query,
    answer: choice,
    time_to_answer_s: Math.min((performance.now() - shownAt) / 1000, LONGEST_ANSWER_S),
  });
  pairs.remove(shown);
}

function undo() {
  const last = practice.length ? practised.pop() : given.takeLast();
  if (!last) return screen.say("There is nothing to take back.");
  if (practice.length) {
    practice.unshift(last);
    sayPracticePair();
    return advance();
  }
  outbox.add("/api/undo", { id: uuid(), session, query: last.query });
  screen.say("Taken back: answer this pair again.");
  pairs.restore(last);
  advance();
}

function confirmed(path, body, response) {
  if (response.already_trained) {
    screen.say("The agent had learnt from that answer already; your new one replaces it.");
  }
  refill();
}

function refused(path, body, error) {
  given.forget(body.query);
  pairs.readmit(body.query);
  screen.say(`An answer was not taken: ${error.message}.`);
  refill();
}

// --- pairs ---------------------------------------------------------------------------------------

function advance() {
  const pair = (practice.length ? practice[0] : !hasEnded && pairs.first) || null;
  if (pair !== shown) {
    shown = pair;
    shownAt = performance.now();
    if (pair) player.show(pair.films);
    else player.clear();
  }
  screen.showPresence(shown, status, hasEnded);
  screen.showStatus(status, pairs.ahead, hasEnded);
}

async function refill() {
  let failure = null;
  try {
    await pairs.fill();
  } catch (error) {
    failure = error;
  }
  const isDone = status !== null && status.given >= status.budget && !outbox.size;
  hasEnded = isDone && failure !== null && !(failure instanceof Refused);
  screen.showUnsaved(outbox.size, hasEnded ? null : failure);
  advance();
}

function onStatus(news) {
  status = news;
  screen.showStatus(status, pairs.ahead, hasEnded);
}

/** From the press of a key to the paint of the next pair's first frame. */
function measure(pressedAt) {
  requestAnimationFrame(() =>
    setTimeout(() => performance.measure("answer-to-frame", { start: pressedAt })),
  );
}

// --- practice and help ---------------------------------------------------------------------------

function startPractice() {
  practice = practicePairs();
  practised = [];
  screen.ask("Which dot gets closer to the ring?");
  sayPracticePair();
  help.close();
  advance();
}

function sayPracticePair() {
  screen.say(`Practice pair ${practised.length + 1} of 3. Nothing of this is stored.`);
}

function tryOut(choice) {
  const pair = practice.shift();
  practised.push(pair);
  const verdict = choice === pair.answer ? "Yes" : "Most would say otherwise";
  const next = practice.length ? `Practice pair ${practised.length + 1} of 3.` : "Now for real.";
  screen.say(`${verdict}: ${pair.why}. ${next}`);
  if (!practice.length) endPractice();
}

function endPractice() {
  practice = [];
  screen.ask(question);
  help.close();
  advance();
}

// --- what is pressed -----------------------------------------------------------------------------

function act(action, pressedAt) {
  if (ANSWERS.includes(action)) answer(action, pressedAt);
  else if (action.startsWith("speed-")) player.setSpeed(Number(action.slice("speed-".length)));
  else ACTIONS[action]();
}

const ACTIONS = {
  undo,
  pause: () => player.toggle(),
  replay: () => player.replay(),
  back: () => player.step(-1),
  forward: () => player.step(1),
  help: () => help.showModal(),
  practise: startPractice,
  begin: endPractice,
};

listen(document.querySelector("#stage"), act);
help.addEventListener("close", () => {
  shownAt = performance.now();
  localStorage[`${place}practised`] = "yes"; // or did without
});
if (!localStorage[`${place}practised`]) help.showModal();
addEventListener("pagehide", () => {
  if (outbox.size) return; // of a pair that is given back, others may take the answer's place
  const body = new Blob([JSON.stringify({ session })], { type: "application/json" });
  navigator.sendBeacon("/api/release", body);
});
addEventListener("pageshow", refill);
document.addEventListener("visibilitychange", () => document.hidden || refill());
setInterval(refill, RENEW_MS);
setInterval(() => shown === null && refill(), RETRY_MS);
setInterval(async () => {
  if (!document.hidden) await request("/api/status").then(onStatus, () => {});
}, STATUS_MS);
outbox.send();
