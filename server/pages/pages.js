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
