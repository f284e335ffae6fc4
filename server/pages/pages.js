"use strict";
// What pages do beyond forms: copy, ask before what cannot be taken back, wait for the first hit, fill in the time zone.
(function () {
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
