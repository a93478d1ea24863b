// The page works without this. It counts on what the page says, and looks again
// when something is due.
(() => {
  "use strict";
  let loaded = Date.now();

  // The words of Left in text.go, and of ago.
  const words = (s) =>
    s < 60 ? `${s} s`
    : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s`
    : s < 86400 ? `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
    : `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
  const roughly = (s) => words(s).split(" ", 2).join(" ");

  const count = () => {
    const gone = Math.floor((Date.now() - loaded) / 1000);
    for (const e of document.querySelectorAll("[data-left]")) {
      const left = Math.max(0, e.dataset.left - gone);
      if (e.localName === "progress") e.value = left;
      else {
        e.textContent = left ? words(left) : e.dataset.over;
        if (e.classList.contains("left")) e.classList.toggle("over", !left);
      }
    }
    for (const e of document.querySelectorAll("[data-ago]")) e.textContent = roughly(+e.dataset.ago + gone);
  };

  // look replaces the list by what it is now, unless a question is open in it.
  const look = async () => {
    const old = document.getElementById("connections");
    const stopped = document.getElementById("stopped");
    try {
      const answer = await fetch("/", { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.status);
      const list = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("connections");
      stopped.hidden = true;
      if (old.querySelector(":popover-open")) return;
      const focused = old.contains(document.activeElement) && document.activeElement.id;
      for (const row of list.querySelectorAll("tr[id]")) {
        const before = document.getElementById(row.id);
        if (before && before.dataset.refreshed !== row.dataset.refreshed) row.classList.add("renewed");
      }
      old.replaceWith(list);
      loaded = Date.now();
      if (focused) document.getElementById(focused)?.focus();
    } catch {
      stopped.hidden = false;
    }
  };

  const again = () => {
    const list = document.getElementById("connections");
    if (!list) return;
    setTimeout(async () => {
      if (!document.hidden) await look();
      again();
    }, document.getElementById("stopped").hidden ? list.dataset.next * 1000 : 2000);
  };

  // What has happened is said once: loading the page again must not repeat it.
  if (location.pathname === "/" && location.search) history.replaceState(null, "", "/");
  setInterval(count, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && document.getElementById("connections")) look(); });
  again();
})();
