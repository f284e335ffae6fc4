"use strict";
// Light or dark as somebody chose it on these pages, before anything is drawn: this script stands before the styles and is not
// deferred. The choice is kept in this browser only, under this origin; it is in no cookie and is never sent. A page whose
// address says how it is to look (a shared dashboard's `theme`) already has its attribute and keeps it.
(function () {
  var root = document.documentElement;
  if (root.dataset.theme) return;
  try {
    var kept = localStorage.getItem("footfall.scheme");
    if (kept === "light" || kept === "dark") root.dataset.theme = kept;
  } catch (error) {
    // No storage here, such as where the browser forbids it: the system's scheme holds.
  }
})();
