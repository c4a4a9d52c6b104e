const REFRESH_MS = 10_000;

/** Takes over the newest figures; a video that is being watched is not disturbed. */
async function refresh() {
  if (document.hidden) return;
  const response = await fetch(location.pathname).catch(() => null);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  document.querySelector("#figures").replaceWith(page.querySelector("#figures"));
  const [old, fresh] = [document, page].map((from) => from.querySelector("#newest-video"));
  const source = (element) => element.querySelector("video")?.getAttribute("src");
  if (source(old) !== source(fresh)) old.replaceWith(fresh);
}

setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", refresh);
