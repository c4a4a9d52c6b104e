const ACTION_OF_KEY = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "equal",
  ArrowDown: "incomparable",
  Backspace: "undo",
  " ": "pause",
  r: "replay",
  ",": "back",
  ".": "forward",
  1: "speed-0.5",
  2: "speed-1",
  3: "speed-2",
  "?": "help",
};
const SWIPE_PX = 60;

/** Turns keys, buttons (`data-action`) and sideways swipes on `swiped` into calls of `act`. */
export function listen(swiped, act) {
  addEventListener("keydown", (event) => onKey(event, act));
  addEventListener("click", (event) => onClick(event, act));
  onSwipe(swiped, act);
}

function onKey(event, act) {
  const action = ACTION_OF_KEY[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || event.ctrlKey || event.altKey || event.metaKey) return;
  if (document.querySelector("dialog[open]")) return;
  // A control that was reached by keyboard keeps its own key.
  if (event.key === " " && event.target.closest("button, a")) return;
  event.preventDefault();
  if (!event.repeat) act(action, event.timeStamp);
}

function onClick(event, act) {
  const button = event.target.closest("[data-action]");
  if (!button) return;
  // After a click by pointer (detail > 0) the space bar shall pause, not press the button again.
  if (event.detail) button.blur();
  act(button.dataset.action, event.timeStamp);
}

function onSwipe(element, act) {
  let start = null;
  element.addEventListener("pointerdown", (event) => {
    start = event.pointerType === "mouse" || !event.isPrimary ? null : event;
  });
  element.addEventListener("pointercancel", () => (start = null));
  element.addEventListener("pointerup", (event) => {
    if (!start) return;
    const [x, y] = [event.clientX - start.clientX, event.clientY - start.clientY];
    start = null;
    if (Math.abs(x) < SWIPE_PX || Math.abs(x) < 2 * Math.abs(y)) return;
    act(x < 0 ? "left" : "right", event.timeStamp);
  });
}
