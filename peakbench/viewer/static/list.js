"use strict";
// The list of runs: asks the server for what is newer than it knows, and changes those rows only. Text is text everywhere.
(function () {
  var body = document.querySelector("#runs tbody");
  var count = document.getElementById("count");
  var find = document.getElementById("find");
  var compare = document.getElementById("compare");
  var chosenWords = document.getElementById("chosen");
  var connection = document.getElementById("connection");
  var most = Number(compare.dataset.most);
  var SVG = "http://www.w3.org/2000/svg";
  var rows = new Map();  // id -> {data, element}
  var order = [];
  var chosen = [];
  var version = 0;
  var more = false;
  var failures = 0;
  var timer = null;

  function make(name, text, kind) {
    var made = document.createElement(name);
    if (text !== undefined && text !== null) { made.textContent = text; }
    if (kind) { made.className = kind; }
    return made;
  }
  function percent(value) { return value === null || value === undefined ? "-" : (100 * value).toFixed(1); }
  function whole(value) { return Number(value || 0).toLocaleString("en"); }
  function line(svg, x1, x2, y1, y2, kind) {
    var made = document.createElementNS(SVG, "line");
    [["x1", x1], ["x2", x2], ["y1", y1], ["y2", y2]].forEach(function (one) { made.setAttribute(one[0], one[1]); });
    made.setAttribute("class", kind);
    svg.appendChild(made);
  }
  function at(value) { return (100 * Math.min(1, Math.max(0, value))).toFixed(2) + "%"; }
  function figure(score) {
    var svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("class", "track span");
    svg.setAttribute("aria-hidden", "true");
    line(svg, "0%", "100%", 7, 7, "rule");
    if (score.low !== null && score.high !== null) { line(svg, at(score.low), at(score.high), 7, 7, "range"); }
    if (score.floor !== null) { line(svg, at(score.floor), at(score.floor), 1, 13, "floor"); }
    var dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("cx", at(score.value)); dot.setAttribute("cy", 7); dot.setAttribute("r", 4.5); dot.setAttribute("class", "dot");
    svg.appendChild(dot);
    return svg;
  }
  function labelled(text, label, kind) {
    var cell = make("td", text, (kind || "") + (text === "" ? " empty" : ""));
    cell.dataset.label = label;
    return cell;
  }
  var WORDS = { part: "finished in part" };
  function draw(run) {
    var row = make("tr");
    row.dataset.id = run.id;
    var pick = make("td", null, "pick");
    if (run.state === "finished" || run.state === "part") {
      var box = make("input");
      box.type = "checkbox";
      box.checked = chosen.indexOf(run.id) >= 0;
      box.setAttribute("aria-label", "Compare " + run.model + ", " + run.name);
      box.addEventListener("change", function () { choose(run.id, box.checked); });
      pick.appendChild(box);
    }
    row.appendChild(pick);
    var model = make("th", null, "model");
    model.scope = "row";
    var link = make("a", run.model);
    link.href = "/run/" + encodeURIComponent(run.id) + "/";
    model.appendChild(link);
    if (run.name !== run.model) { model.appendChild(make("span", run.name, "sub")); }
    row.appendChild(model);
    row.appendChild(make("td", run.data, "text data"));
    var state = make("td", null, "state-cell left");
    state.appendChild(make("span", WORDS[run.state] || run.state, "state " + run.state.replace(" ", "-")));
    if (run.total !== undefined && run.state !== "finished") {
      state.appendChild(make("span", whole(run.done) + " of " + whole(run.total) + " asked", "sub"));
      var meter = make("div", null, "meter");
      var done = make("span");
      done.style.width = at(run.total ? run.done / run.total : 0);
      meter.appendChild(done);
      state.appendChild(meter);
    } else if (run.total !== undefined) {
      state.appendChild(make("span", whole(run.done) + " asked", "sub"));
    }
    row.appendChild(state);
    var score = make("td", null, "score");
    if (run.score) {
      var words = percent(run.score.value);
      if (run.score.low !== null && run.score.high !== null) { words += " [" + percent(run.score.low) + ", " + percent(run.score.high) + "]"; }
      score.appendChild(make("strong", words));
      score.appendChild(make("span", " " + run.score.metric, "muted"));
      score.appendChild(figure(run.score));
    } else if (run.note) {
      score.appendChild(make("span", run.note, "muted"));
      score.style.whiteSpace = "normal";
    } else if (run.state === "finished" || run.state === "part") {
      score.appendChild(make("span", "nothing was scored", "muted"));
    }
    row.appendChild(score);
    row.appendChild(labelled(run.score && run.score.floor !== null ? percent(run.score.floor) : "", "Floor"));
    row.appendChild(labelled(run.total === undefined ? "" : whole(run.failed), "Failed"));
    row.appendChild(labelled(run.json === null || run.json === undefined ? "" : percent(run.json), "JSON %"));
    row.appendChild(labelled(run.created.slice(0, 16).replace("T", " "), "Begun", "left"));
    return row;
  }
  function choose(id, on) {
    chosen = chosen.filter(function (one) { return one !== id; });
    if (on) { chosen.push(id); }
    tell();
  }
  function tell() {
    chosen = chosen.filter(function (id) { return rows.has(id); });
    compare.disabled = chosen.length < 2 || chosen.length > most;
    var names = chosen.map(function (id) { var run = rows.get(id).data; return run.model + " (" + run.name + ")"; });
    if (!chosen.length) { chosenWords.textContent = "Choose two runs to compare them."; }
    else if (chosen.length === 1) { chosenWords.textContent = names[0] + " against ... choose another."; }
    else if (chosen.length > most) { chosenWords.textContent = "At most " + most + " runs at once."; }
    else { chosenWords.textContent = names.slice(1).join(", ") + " held against " + names[0]; }
  }
  compare.addEventListener("click", function () {
    location.href = "/compare/?" + chosen.map(function (id) { return "run=" + encodeURIComponent(id); }).join("&");
  });
  function matches(run, words) {
    var text = (run.model + " " + run.name + " " + run.data + " " + (WORDS[run.state] || run.state)).toLowerCase();
    return words.every(function (word) { return text.indexOf(word) >= 0; });
  }
  function show() {
    var words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    var shown = 0, going = 0;
    order.forEach(function (id) {
      var one = rows.get(id);
      var visible = matches(one.data, words);
      one.element.hidden = !visible;
      one.element.style.display = visible ? "" : "none";
      shown += visible ? 1 : 0;
      going += one.data.state === "asking" || one.data.state === "scoring" ? 1 : 0;
    });
    var said = order.length ? whole(order.length) + (order.length === 1 ? " run" : " runs") : "No run yet: one that begins appears here.";
    if (order.length && words.length) { said = whole(shown) + " of " + said; }
    if (going) { said += ", " + whole(going) + " going"; }
    if (more) { said += "; more are not shown"; }
    if (count.textContent !== said) { count.textContent = said; }
  }
  find.addEventListener("input", show);
  function take(found) {
    found.rows.forEach(function (run) {
      var element = draw(run), before = rows.get(run.id);
      if (before) {
        var focused = before.element.contains(document.activeElement) ? document.activeElement.tagName : null;
        before.element.replaceWith(element);
        if (focused) { var again = element.querySelector(focused.toLowerCase()); if (again) { again.focus({ preventScroll: true }); } }
      }
      rows.set(run.id, { data: run, element: element });
    });
    if (found.order) {
      order = found.order;
      more = Boolean(found.more);
      var known = new Set(order);
      Array.from(rows.keys()).forEach(function (id) {
        if (!known.has(id)) { rows.get(id).element.remove(); rows.delete(id); }
      });
      order.forEach(function (id, place) {
        var element = rows.get(id).element;
        if (body.children[place] !== element) { body.insertBefore(element, body.children[place] || null); }
      });
    }
    version = found.version;
    if (found.rows.length || found.order) { show(); tell(); }
    body.parentNode.dataset.ready = "1";
  }
  function ask() {
    clearTimeout(timer);
    fetch("/changes?since=" + version, { cache: "no-store" }).then(function (answer) {
      if (!answer.ok) { throw new Error(String(answer.status)); }
      return answer.json();
    }).then(function (found) {
      failures = 0;
      connection.textContent = "";
      if (found.version < version) { version = 0; return ask(); }
      take(found);
    }).catch(function (error) {
      failures += 1;
      connection.textContent = error.message === "403" ? "The view was started anew: open the address that it has printed." : "No answer from peakbench view: it may have ended.";
    }).finally(function () {
      clearTimeout(timer);
      timer = setTimeout(ask, document.hidden ? 15000 : failures ? Math.min(15000, 1500 * failures) : 1500);
    });
  }
  document.addEventListener("visibilitychange", function () { if (!document.hidden) { ask(); } });
  ask();
})();
