"use strict";
(function () {
  var status = document.getElementById("status");
  var pages = 0;

  document.getElementById("custom").addEventListener("click", function () {
    window.footfall("Demo", {
      props: { button: "custom" },
      callback: function (answer) {
        if (answer.error) status.textContent = "The event could not be sent.";
        else if (answer.dropped) status.textContent = "The event was dropped: " + answer.dropped + ".";
        else status.textContent = "The event was taken (" + answer.status + ").";
      },
    });
  });

  document.getElementById("navigate").addEventListener("click", function () {
    pages += 1;
    history.pushState({}, "", "/demo/page-" + pages);
    status.textContent = "Page view sent for " + location.pathname + ".";
  });
})();
