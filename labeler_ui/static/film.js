/**
 * What a person sees of a clip: sprite sheets, decoded. Frame i lies on sheet
 * `i / (columns * rows)`, in rows from left to right.
 */
export class Film {
  /** Fetches and decodes the sheets that the server described. */
  static async load(description) {
    return new Film(description, await Promise.all(description.sheets.map(decode)));
  }

  #layout;
  #sheets;

  constructor(layout, sheets) {
    this.#layout = layout;
    this.#sheets = sheets;
    this.width = layout.width;
    this.height = layout.height;
    this.frames = layout.frames;
    this.framesPerSecond = layout.frames_per_second;
  }

  draw(context, frame) {
    const { columns, rows, width, height } = this.#layout;
    const cell = frame % (columns * rows);
    const sheet = this.#sheets[Math.floor(frame / (columns * rows))];
    const x = (cell % columns) * width;
    const y = Math.floor(cell / columns) * height;
    context.drawImage(sheet, x, y, width, height, 0, 0, width, height);
  }

  /** Frees the decoded pictures, which are large. */
  close() {
    for (const sheet of this.#sheets) sheet.close();
  }
}

async function decode(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: the server answers ${response.status}`);
  return createImageBitmap(await response.blob());
}
