/** The server refused: its status, and its reason in one line. */
export class Refused extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }

  /** Whether the same request can succeed later: the server is busy or broken, or shut us out. */
  get isTemporary() {
    return this.status >= 500 || this.status === 429 || this.status === 401;
  }
}

/** A JSON answer. Throws `Refused`, or `TypeError` where no server answers. */
export async function request(path, body) {
  const options = body && {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const content = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new Refused(response.status, content.error ?? `the server answers ${response.status}`);
  }
  return content;
}

/** A random UUID; `crypto.randomUUID` exists on encrypted pages and on this machine only. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
