"use strict";
// The page of imports: sends a file piece by piece, each piece again when the connection breaks; keeps progress up to date.
(function () {
  var form = document.querySelector("form[data-upload]");
  if (form) form.addEventListener("submit", function (event) {
    var file = form.querySelector("input[type=file]").files[0];
    if (!file || !file.size) return;
    event.preventDefault();
    send(file);
  });

  var shown = document.querySelector("[data-upload-progress]");

  function send(file) {
    var button = form.querySelector("button");
    button.disabled = true;
    say(0, "Sending " + file.name);
    ask("POST", form.dataset.upload, JSON.stringify({ size_bytes: file.size }))
      .then(function (begun) {
        var address = form.dataset.upload + "/uploads/" + begun.upload;
        return pieces(file, address, begun.piece_bytes, 0, 0).then(function () {
          say(100, "Looking at it");
          var live = form.querySelector("[name=takes_live_days]").checked;
          return ask("POST", address, JSON.stringify({ file_name: file.name, takes_live_days: live }));
        });
      })
      .then(
        function () { window.location.assign(form.action + "?done=import-started"); },
        function (problem) { button.disabled = false; say(0, problem.message || "The connection broke: try again."); }
      );
  }

  function pieces(file, address, size, offset, failures) {
    if (offset >= file.size) return Promise.resolve();
    say((100 * offset) / file.size, megabytes(offset) + " of " + megabytes(file.size) + " MB sent");
    return ask("POST", address + "/pieces?offset=" + offset, file.slice(offset, offset + size)).then(
      function (taken) { return pieces(file, address, size, taken.size_bytes, 0); },
      function (problem) {
        if (typeof problem.size_bytes === "number") return pieces(file, address, size, problem.size_bytes, failures + 1);
        if (problem.message || failures >= 5) throw problem;
        return wait(1000 * Math.pow(2, failures)).then(function () {
          return pieces(file, address, size, offset, failures + 1);
        });
      }
    );
  }

  // Rejects with {message}, as the server says it, or with {} when no answer came or the server is busy.
  function ask(method, address, body) {
    var headers = { Accept: "application/json", "X-Xsrftoken": form.querySelector("[name=_xsrf]").value };
    headers["Content-Type"] = typeof body === "string" ? "application/json" : "application/octet-stream";
    return fetch(address, { method: method, headers: headers, body: body }).then(
      function (answer) {
        return answer.json().catch(function () { return {}; }).then(function (said) {
          if (answer.ok) return said;
          if (answer.status >= 500 || answer.status === 429) throw {};
          throw { message: (said.error || {}).message || "The server answered " + answer.status + ".", size_bytes: said.size_bytes };
        });
      },
      function () { throw {}; }
    );
  }

  function say(percent, text) {
    shown.hidden = false;
    shown.querySelector("progress").value = percent;
    shown.querySelector("[role=status]").textContent = text;
  }

  function megabytes(bytes) { return (bytes / 1048576).toFixed(1); }
  function wait(ms) { return new Promise(function (done) { window.setTimeout(done, ms); }); }

  var list = document.querySelector("[data-imports]");
  if (list) look();

  function look() {
    fetch(list.dataset.imports, { headers: { Accept: "application/json" } })
      .then(function (answer) { return answer.ok ? answer.json() : Promise.reject(answer.status); })
      .then(
        function (found) {
          var there = found.imports.length;
          var changed = there !== list.querySelectorAll("[data-import]").length;
          found.imports.forEach(function (each) {
            var item = list.querySelector('[data-import="' + each.import_id + '"]');
            if (!item || (item.dataset.state !== each.state && each.state !== "running")) { changed = true; return; }
            var bar = item.querySelector("progress");
            if (!bar) return;
            if (each.share !== null) bar.value = Math.round(each.share * 100);
            if (each.message) item.querySelector("[role=status]").textContent = each.message;
          });
          if (changed) window.location.assign(window.location.pathname); // without what was said of the form
          else window.setTimeout(look, 2000);
        },
        function () { window.setTimeout(look, 5000); }
      );
  }
})();
