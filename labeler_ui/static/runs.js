const table = document.querySelector("table.runs");
const rows = table ? [...table.tBodies[0].rows] : [];
const compare = document.querySelector("#compare");

/** Shows the rows that have all the words. */
function find(text) {
  const words = text.toLowerCase().split(/\s+/);
  for (const row of rows) {
    const content = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => content.includes(word));
  }
  const found = rows.filter((row) => !row.hidden).length;
  document.querySelector("#count").textContent =
    found === rows.length ? `${found} runs` : `${found} of ${rows.length} runs`;
}

/** Sorts by a column, the other way round at the second time; what has no value comes last. */
function sort(heading) {
  const column = heading.cellIndex;
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const value = (row) => row.cells[column]?.dataset.value ?? "";
  const order = (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (!x || !y) return (x ? 0 : 1) - (y ? 0 : 1);
    return (down ? -1 : 1) * (x - y || x.localeCompare(y, undefined, { numeric: true }));
  };
  table.tBodies[0].append(...rows.sort(order));
}

function chosen() {
  return rows.map((row) => row.querySelector("input:checked")?.value).filter(Boolean);
}

function countChosen() {
  const count = chosen().length;
  compare.disabled = count < 2;
  document.querySelector("#chosen").textContent =
    count === 0 ? "Choose two runs or more to compare them." :
    count === 1 ? "1 run is chosen: one more, at least." : `${count} runs are chosen.`;
}

if (table) {
  const search = document.querySelector("#find");
  search.addEventListener("input", () => find(search.value));
  table.tHead.addEventListener("click", ({ target }) => {
    if (target.closest("[data-sort]")) sort(target.closest("th"));
  });
  table.addEventListener("change", countChosen);
  compare.addEventListener("click", () => {
    location.assign(`/compare?${new URLSearchParams(chosen().map((key) => ["run", key]))}`);
  });
  addEventListener("pageshow", countChosen); // browsers keep what was chosen when one comes back
}
