const FRAMES = 26;
const SIZE = 320;

/** Three pairs to try the keys on: drawn here, sent nowhere. The dot shall reach the ring. */
export function practicePairs() {
  return [
    pair(dot(0.92), dot(0.3), "left", "the left dot gets closer to the ring"),
    pair(dot(0.6, 0.7), dot(0.6, 0.7, true), "equal", "both dots get equally close"),
    pair(dot(0.1), dot(0.8), "right", "the right dot gets closer to the ring"),
  ];
}

function pair(left, right, answer, why) {
  return { films: [left, right], answer, why };
}

/** A film of a dot that goes a share of the way from a corner to the ring, on an arc. */
function dot(share, bend = 0, mirrored = false) {
  return {
    width: SIZE,
    height: SIZE,
    frames: FRAMES,
    framesPerSecond: 15,
    close() {},
    draw(context, frame) {
      const way = (share * frame) / (FRAMES - 1);
      const sideways = bend * Math.sin(Math.PI * way) * 48;
      const from = mirrored ? SIZE - 36 : 36;
      const x = from + (SIZE / 2 - from) * way + (mirrored ? -sideways : sideways);
      const y = 36 + (SIZE / 2 - 36) * way;
      paint(context, x, y);
    },
  };
}

function paint(context, x, y) {
  context.fillStyle = "#22262b";
  context.fillRect(0, 0, SIZE, SIZE);
  context.lineWidth = 6;
  context.strokeStyle = "#8b949e";
  circle(context, SIZE / 2, SIZE / 2, 30);
  context.stroke();
  context.fillStyle = "#f2c14e";
  circle(context, x, y, 14);
  context.fill();
}

function circle(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}
