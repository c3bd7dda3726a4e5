// What the page does beside htmx: the reader's own time, an open history that stays open, and the chart.
"use strict";

const locale = document.documentElement.lang;
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(locale, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date().toDateString();
    time.textContent = (today ? clock : day).format(at);
    time.title = at.toLocaleString(locale);
  }
}

let pastIsOpen = false;
document.addEventListener("toggle", (event) => {
  if (event.target.id === "past") pastIsOpen = event.target.open;
}, true);
document.addEventListener("htmx:afterSwap", (event) => {
  localTimes(event.target);
  const past = event.target.querySelector("#past");
  if (past && pastIsOpen) past.open = true;
});
// A page whose session is over, or whose hub is away, keeps what it shows and says so.
document.addEventListener("htmx:sendError", () => document.body.classList.add("offline"));
document.addEventListener("htmx:responseError", () => document.body.classList.add("offline"));
document.addEventListener("htmx:afterOnLoad", () => document.body.classList.remove("offline"));

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Of few samples a while is shown in which they can be read: of a single one uPlot would show a day, all at midnight.
const LEAST = 600;
const STEPS = [60, 120, 300, 600, 900, 1800, 3600];

function chart(place) {
  let plot = null;
  let shown = [[], [], []];
  const span = () => {
    const [moments] = shown;
    const end = moments.length ? moments[moments.length - 1] : Date.now() / 1000;
    return [Math.min(moments.length ? moments[0] : end, end - LEAST), end];
  };
  const wide = () => Math.max(260, place.clientWidth);

  function draw() {
    if (plot) plot.destroy();
    const axis = { stroke: colour("--ink-3"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
    plot = new uPlot({
      width: wide(),
      height: 220,
      cursor: { drag: { x: false, y: false } },
      series: [
        { label: place.dataset.time, value: (_plot, seconds) => seconds ? clock.format(seconds * 1000) : "–" },
        { label: place.dataset.messages, stroke: colour("--blue"), width: 2, fill: colour("--blue-soft") },
        { label: place.dataset.dead, stroke: colour("--red"), width: 2 },
      ],
      axes: [
        { ...axis, incrs: STEPS, space: 80, values: (_plot, moments) => moments.map((seconds) => minute.format(seconds * 1000)) },
        { ...axis, size: 56 },
      ],
      scales: { x: { range: span }, y: { range: (_plot, _low, high) => [0, Math.max(1, high * 1.1)] } },
      tzDate: (seconds) => new Date(seconds * 1000),
    }, shown, place);
  }

  async function renew() {
    try {
      const answer = await fetch(place.dataset.source, { headers: { "HX-Request": "true" } });
      if (answer.ok) {
        const found = await answer.json();
        shown = [found.moments, found.messages, found.dead];
        plot.setData(shown);
      }
    } catch {
      // The next one may succeed; the page says that the hub is away.
    }
  }

  draw();
  renew();
  setInterval(renew, 10_000);
  new ResizeObserver(() => plot.setSize({ width: wide(), height: 220 })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

localTimes(document);
const place = document.getElementById("chart");
if (place) chart(place);
