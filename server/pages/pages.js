"use strict";
// What pages do beyond forms: choose light or dark, copy, ask before what cannot be taken back, wait for the first hit, fill in the time zone.
(function () {
  var schemeKey = "footfall.scheme";
  document.querySelectorAll("[data-scheme]").forEach(function (label) {
    var choice = label.querySelector("select");
    label.hidden = false;
    choice.value = document.documentElement.dataset.theme || "";
    choice.addEventListener("change", function () {
      show(choice.value);
      try {
        if (choice.value) localStorage.setItem(schemeKey, choice.value);
        else localStorage.removeItem(schemeKey);
      } catch (error) {
        // No storage here: the choice holds for this page.
      }
    });
    // Other windows follow.
    window.addEventListener("storage", function (event) {
      if (event.key !== schemeKey) return;
      choice.value = event.newValue || "";
      show(choice.value);
    });
  });

  function show(scheme) {
    if (scheme) document.documentElement.dataset.theme = scheme;
    else delete document.documentElement.dataset.theme;
  }

  document.querySelectorAll("[data-copy]").forEach(function (button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      var text = document.getElementById(button.dataset.copy).textContent.trim();
      navigator.clipboard.writeText(text).then(
        function () { button.textContent = "Copied"; },
        function () { button.textContent = "Select the text to copy it"; }
      );
    });
  });

  document.querySelectorAll("form[data-confirm]").forEach(function (form) {
    form.addEventListener("submit", function (event) {
      if (!window.confirm(form.dataset.confirm)) event.preventDefault();
    });
  });

  var zone = document.querySelector("input[name=timezone][data-guess]");
  if (zone && !zone.value) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

  // On a phone the ways between rooms are one line that scrolls: where one is comes into view.
  var here = document.querySelector(".rooms [aria-current]");
  if (here) here.scrollIntoView({ block: "nearest", inline: "center" });

  document.querySelectorAll("[data-refresh]").forEach(function (part) {
    // What is under way is asked for again until the page that answers says that it is over.
    function refresh() {
      fetch(part.dataset.refresh)
        .then(function (answer) { return answer.ok ? answer.text() : Promise.reject(answer.status); })
        .then(function (text) {
          var fresh = new DOMParser().parseFromString(text, "text/html").getElementById(part.id);
          if (!fresh || !fresh.dataset.refresh) return window.location.reload();
          part.replaceChildren.apply(part, fresh.childNodes);
          window.setTimeout(refresh, 1500);
        })
        .catch(function () { window.setTimeout(refresh, 5000); });
    }
    window.setTimeout(refresh, 1500);
  });

  var waiting = document.querySelector("[data-first-hit]");
  if (waiting) ask();

  function ask() {
    fetch(waiting.dataset.firstHit, { headers: { Accept: "application/json" } })
      .then(function (answer) { return answer.ok ? answer.json() : Promise.reject(answer.status); })
      .then(
        function (found) {
          if (!found.first_hit_at_ms) return again(2000);
          waiting.classList.replace("waiting", "arrived");
          waiting.textContent = "The first hit is here. It works.";
          document.querySelectorAll("[data-then]").forEach(function (then) { then.hidden = false; });
        },
        function () {
          waiting.textContent = "The server does not answer at the moment; trying again.";
          again(5000);
        }
      );
  }

  function again(afterMs) { window.setTimeout(ask, afterMs); }
})();
