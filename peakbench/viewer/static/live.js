"use strict";
// One run while it is asked: asks the server how it goes, and shows it. Text is text everywhere.
(function () {
  var bar = document.getElementById("bar");
  var base = "/run/" + encodeURIComponent(bar.dataset.key) + "/";
  var connection = document.getElementById("connection");
  var version = 0, failures = 0, timer = null;
  function by(id) { return document.getElementById(id); }
  function make(name, text, kind) {
    var made = document.createElement(name);
    if (text !== undefined && text !== null) { made.textContent = text; }
    if (kind) { made.className = kind; }
    return made;
  }
  function whole(value) { return Number(value || 0).toLocaleString("en"); }
  function seconds(value) {
    if (value >= 5400) { return (value / 3600).toFixed(1) + " h"; }
    if (value >= 90) { return Math.round(value / 60) + " min"; }
    return value >= 10 ? Math.round(value) + " s" : value.toFixed(value >= 1 ? 1 : 2) + " s";
  }
  function show(found) {
    by("far").textContent = whole(found.done) + " of " + whole(found.total) + " asked" + (found.whole ? "" : " (reading)");
    bar.setAttribute("aria-valuenow", found.done);
    bar.firstElementChild.style.width = (found.total ? 100 * Math.min(1, found.done / found.total) : 0) + "%";
    var words = [];
    if (found.rate) { words.push((found.rate >= 10 ? Math.round(found.rate) : found.rate.toPrecision(2)) + " answers a second"); }
    if (found.left_s !== null) { words.push("about " + seconds(found.left_s) + " left"); }
    if (found.retried) { words.push(whole(found.retried) + " asked again"); }
    if (found.damaged) { words.push(whole(found.damaged) + " lines of the journal are damaged"); }
    by("speed").textContent = words.join(", ");
    var stack = by("states"), key = by("states-key");
    stack.replaceChildren();
    key.replaceChildren();
    found.states.forEach(function (one) {
      var part = make("span", one.count / found.done > 0.06 ? whole(one.count) : "", "s-" + one.state);
      part.style.flex = one.count + " 1 0";
      stack.appendChild(part);
      var item = make("li");
      item.appendChild(make("span", null, "swatch s-" + one.state));
      item.appendChild(make("span", one.words + ": " + whole(one.count)));
      key.appendChild(item);
    });
    var failed = by("failures");
    failed.replaceChildren();
    if (found.failures.length) {
      failed.appendChild(make("p", "Failed, not scored: " + found.failures.map(function (one) { return one.kind + " " + whole(one.count); }).join(", ")));
    }
    var svg = by("latencies"), longest = Math.max.apply(null, found.latency.concat([0]));
    svg.replaceChildren();
    if (found.latency.length && longest > 0) {
      by("latency-words").textContent = "The last " + whole(found.latency.length) + ": half within " + seconds(found.p50) + ", nine in ten within " + seconds(found.p90) + ", the longest " + seconds(longest) + ".";
      var width = 600 / Math.max(60, found.latency.length);
      found.latency.forEach(function (one, place) {
        var rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
        var height = Math.max(1, 96 * one / longest);
        rect.setAttribute("x", (place * width).toFixed(2)); rect.setAttribute("width", (width * 0.8).toFixed(2));
        rect.setAttribute("y", (100 - height).toFixed(2)); rect.setAttribute("height", height.toFixed(2));
        svg.appendChild(rect);
      });
    }
    var body = document.querySelector("#last tbody");
    body.replaceChildren();
    found.latest.forEach(function (one) {
      var row = make("tr"), name = make("th", one.sample, "left");
      name.scope = "row";
      row.appendChild(name);
      row.appendChild(make("td", one.words, "left"));
      row.appendChild(make("td", one.latency === null ? "-" : one.latency.toFixed(2)));
      row.appendChild(make("td", one.text, "text"));
      body.appendChild(row);
    });
  }
  function ask() {
    clearTimeout(timer);
    fetch(base + "progress?since=" + version, { cache: "no-store" }).then(function (answer) {
      if (!answer.ok) { throw new Error(String(answer.status)); }
      return answer.json();
    }).then(function (found) {
      failures = 0;
      connection.textContent = found.note || "";
      if (found.state === "finished" || found.state === "part") { location.reload(); return; }
      var state = by("state");
      if (state.textContent !== found.state) { state.textContent = found.state; }
      state.className = "state " + found.state.replace(" ", "-");
      if (found.total !== undefined) { show(found); }
      if (found.version !== undefined) { version = found.version; }
      bar.dataset.ready = "1";
    }).catch(function (error) {
      failures += 1;
      connection.textContent = error.message === "404" ? "The run is gone." : error.message === "403" ? "The view was started anew: open the address that it has printed." : "No answer from peakbench view: it may have ended.";
    }).finally(function () {
      clearTimeout(timer);
      timer = setTimeout(ask, document.hidden ? 15000 : failures ? Math.min(15000, 1000 * failures) : 1000);
    });
  }
  document.addEventListener("visibilitychange", function () { if (!document.hidden) { ask(); } });
  ask();
})();
