// Keeps the page's counts and countdowns current. Everything else works without it.
(() => {
  "use strict";
  const PERIOD = 3000;
  const lang = document.documentElement.lang;
  const clock = new Intl.DateTimeFormat("sv-SE", { timeZone: "Europe/Stockholm", timeStyle: "medium" });
  const whole = new Intl.NumberFormat(lang, { maximumFractionDigits: 0 });
  const table = document.getElementById("live");
  // How many milliseconds the server's clock is ahead of this one.
  let serverAhead = new Date(document.body.dataset.now) - Date.now();

  function people(s, words) {
    if (s.quality !== "ok") {
      const qualities = JSON.parse(words.qualities);
      return qualities[s.quality] ?? qualities.unknown;
    }
    if (s.suppressed) return words.fewer + " " + s.below;
    let text = whole.format(s.present);
    const above = s.high - s.present;
    const error = Math.max(above, s.low === null ? above : s.present - s.low);
    return text + " ± " + whole.format(Math.ceil(error));
  }

  function show(s) {
    const row = table.querySelector(`tr[data-camera="${CSS.escape(s.camera)}"][data-zone="${CSS.escape(s.zone)}"]`);
    if (!row) return;
    const set = (cell, text) => {
      const td = row.querySelector(`[data-cell="${cell}"]`);
      if (td.textContent !== text) td.textContent = text;
      return td;
    };
    set("people", people(s, table.dataset)).classList.toggle("unknown", s.quality !== "ok");
    set("moving", s.quality === "ok" && s.moving !== null ? whole.format(s.moving) : "–");
    const time = clock.format(new Date(s.time));
    set("time", s.stale ? table.dataset.stale + " " + time : time).classList.toggle("stale", !!s.stale);
  }

  function contact(ok) {
    const note = document.getElementById("contact");
    const text = ok ? "" : note.dataset.lost;
    if (note.textContent !== text) note.textContent = text;
    note.hidden = ok;
  }

  async function refresh() {
    try {
      const answer = await fetch("/api/v1/occupancy/latest", { signal: AbortSignal.timeout(PERIOD * 3) });
      if (answer.status === 401) { location.reload(); return; }
      if (!answer.ok) throw new Error(answer.statusText);
      const body = await answer.json();
      serverAhead = new Date(body.now) - Date.now();
      body.samples.forEach(show);
      contact(true);
    } catch {
      contact(false);
    }
    setTimeout(refresh, PERIOD);
  }

  function left(seconds) {
    const h = Math.floor(seconds / 3600), m = Math.floor(seconds / 60) % 60, s = seconds % 60;
    if (h >= 48) return Math.floor(h / 24) + " d " + (h % 24) + " h";
    if (h > 0) return h + " h " + m + " min";
    return (m > 0 ? m + " min " : "") + s + " s";
  }

  function count() {
    const now = Date.now() + serverAhead;
    for (const e of document.querySelectorAll("[data-deadline]")) {
      const seconds = Math.ceil((new Date(e.dataset.deadline) - now) / 1000);
      e.textContent = seconds > 0 ? e.dataset.in + " " + left(seconds) : e.dataset.passed;
    }
  }

  if (table) refresh();
  if (document.querySelector("[data-deadline]")) setInterval(count, 1000);
})();
