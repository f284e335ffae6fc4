/* Footfall page views: sends a hit when the page opens, when a single-page application changes its address, and when
   the page calls footfall("Name", {props: {...}}). No cookies, nothing stored in the browser. */
(function () {
  "use strict";
  var script = document.currentScript;
  var domain = script.getAttribute("data-domain") || location.hostname;
  var endpoint = script.getAttribute("data-api") || new URL(script.src).origin + "/api/event";
  var lastPage;

  function send(name, options) {
    options = options || {};
    var hit = { n: name, u: options.url || location.href, d: domain, r: document.referrer || null, sw: screen.width, sh: screen.height };
    try {
      hit.tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
    } catch (error) {
      hit.tz = null; // very old browsers know no time zone names
    }
    hit.lg = navigator.language;
    if (navigator.webdriver) hit.wd = 1;
    if (options.props) hit.p = options.props;
    if (options.revenue) hit.$ = options.revenue;
    if (options.interactive === false) hit.i = false;
    fetch(endpoint, { method: "POST", keepalive: true, headers: { "Content-Type": "text/plain" }, body: JSON.stringify(hit) })
      .then(function (answer) {
        if (options.callback) options.callback({ status: answer.status, dropped: answer.headers.get("X-Footfall-Dropped") });
      })
      .catch(function (error) {
        if (options.callback) options.callback({ error: error });
      });
  }

  function page() {
    var now = location.pathname;
    if (now === lastPage) return;
    lastPage = now;
    send("pageview");
  }

  var queued = (window.footfall && window.footfall.q) || [];
  window.footfall = send;
  queued.forEach(function (call) {
    send.apply(null, call);
  });

  ["pushState", "replaceState"].forEach(function (method) {
    var original = history[method];
    history[method] = function () {
      original.apply(this, arguments);
      page();
    };
  });
  addEventListener("popstate", page);
  if (document.visibilityState === "prerender" || document.prerendering) {
    document.addEventListener("prerenderingchange", page, { once: true });
  } else {
    page();
  }
})();
