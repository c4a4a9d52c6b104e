const { run, labeler } = document.body.dataset;
const PAGE = `${run}:${encodeURIComponent(labeler)}`; // headers are ASCII, names are not

/** The server refused: its status, and its reason in one line. */
export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }

  /** Whether the same request can succeed later: the server is busy or broken, or shut us out. */
  get isTemporary() {
    return this.status >= 500 || [401, 403, 421, 429].includes(this.status);
  }
}

/** A JSON answer. Throws `Refused`, or another error where our server does not answer. */
export async function request(path, body) {
  const headers = { "X-Prefrl-Page": PAGE, "Content-Type": "application/json" };
  // Kept alive: it leaves even if the tab is closed right after.
  const post = body && { method: "POST", body: JSON.stringify(body), keepalive: true };
  const response = await fetch(path, { headers, ...post });
  const content = await response.json(); // what is no JSON comes from another program
  if (response.ok) return content;
  if (!content?.error) throw new Error(`the server answers ${response.status}`);
  throw new Refused(response.status, content.error);
}

/** A random UUID; `crypto.randomUUID` exists on encrypted pages and on this machine only. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
