// Nothing here is needed: pages work without it. Moments in the reader's zone, and keys.
(() => {
  "use strict";
  const zone = new Intl.DateTimeFormat([], { dateStyle: "medium", timeStyle: "short" });
  const local = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.getTime())) {
        time.title = time.dateTime;
        time.textContent = zone.format(at);
      }
    }
  };
  local(document);
  document.addEventListener("htmx:after:swap", () => local(document));

  let went = 0;
  document.addEventListener("keydown", (event) => {
    const writes = event.target.closest("input, select, textarea, [contenteditable]");
    if (writes || event.ctrlKey || event.metaKey || event.altKey) return;
    const go = event.timeStamp - went < 1500 && document.querySelector(`nav [data-key="${CSS.escape(event.key)}"]`);
    if (go) {
      event.preventDefault();
      go.click();
    } else if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    } else if (event.key === "?") {
      const help = document.querySelector("#keys");
      if (help) {
        event.preventDefault();
        help.open = !help.open;
        help.querySelector("summary").focus();
      }
    }
    went = event.key === "g" ? event.timeStamp : 0;
  });
})();
