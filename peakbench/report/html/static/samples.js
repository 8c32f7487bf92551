"use strict";
// The sample browser, the whole: filters, order, the list, keys, and all of it in the address.
if (peakbenchSamples) { (function (ground) {
  const { data, n, pair, metrics, OUTCOMES, WORDS, make, add, visible, short, shown, number, signed, plain } = ground;
  const { detail, answersOf, title, mean, change, up, chip, picture, pane, show } = ground;
  var part = document.getElementById("samples-part"), host = document.getElementById("samples-browser");
  var heading = document.getElementById("samples") || part, haystacks = new Array(n);
  var byId = new Map(data.ids.map(function (id, place) { return [id, place]; }));
  var columns = data.metadata.columns;

  // ---- what is chosen, and its place in the address ----------------------------------------------------------------
  var NAMES = ["field", "outcome", "state", "flips", "by", "is", "q", "sort", "turn"];
  var chosen = {}, listed = [], selected = -1, current = -1;
  function clear() { NAMES.forEach(function (name) { chosen[name] = ""; }); }
  clear();
  function readAddress() {
    var hash = location.hash.slice(1);
    if (hash.indexOf("=") < 0) { return null; }
    var given = new URLSearchParams(hash);
    return ["sample"].concat(NAMES).some(function (name) { return given.has(name); }) ? given : null;
  }
  function address(id) {
    var made = new URLSearchParams();
    if (id !== null) { made.set("sample", id); }
    NAMES.forEach(function (name) { if (chosen[name]) { made.set(name, chosen[name]); } });
    var text = made.toString();
    return text ? "#" + text : "#samples";
  }
  function writeAddress(push) {
    try {
      history[push ? "pushState" : "replaceState"](null, "", address(selected >= 0 ? data.ids[selected] : null));
    } catch (error) { /* a page without a history of its own: the filters hold, the link does not change */ }
  }

  // ---- filters and order -------------------------------------------------------------------------------------------
  function haystack(place) {
    if (haystacks[place] === undefined) {
      var one = detail(place), parts = [data.ids[place]];
      var text = function (value) { if (value) { parts.push(Array.isArray(value) ? value[0] : value); } };
      data.references[place].forEach(function (code) { if (code >= 0) { parts.push(shown(code)); } });
      data.answers.forEach(function (side) {
        answersOf(side, place).forEach(function (at) {
          side.values[at].forEach(function (code) { if (code >= 0) { parts.push(shown(code)); } });
        });
      });
      one.metadata.forEach(function (entry) { parts.push(entry[1]); });
      text(one.reference); text(one.prompt);
      one.runs.forEach(function (run) {
        run.forEach(function (answer) {
          text(answer.text); text(answer.reasoning); text(answer.refusal);
          if (answer.failure) { parts.push(answer.failure[0], answer.failure[2]); }
          if (answer.problem) { parts.push(answer.problem[0], answer.problem[2]); }
        });
      });
      haystacks[place] = parts.join("\n").toLowerCase();
    }
    return haystacks[place];
  }
  function passes() {
    var field = data.fields.findIndex(function (one) { return one.name === chosen.field; });
    var fields = field >= 0 ? [field] : data.fields.map(function (_, place) { return place; });
    var outcome = chosen.outcome || (field >= 0 && !chosen.flips ? "missed" : "");
    var code = String(OUTCOMES.indexOf(outcome)), query = chosen.q.toLowerCase();
    var column = columns.find(function (one) { return one[0] === chosen.by; });
    var changes = pair && chosen.flips ? (data.fields.length ? fields : [-1]).map(change) : [];
    function meets(side, at) {
      var outcomes = side.outcomes[at];
      return fields.some(function (one) {
        var found = outcomes[one];
        return found !== undefined && found !== "-" && (outcome === "missed" ? found > "1" : found === code);
      });
    }
    return function (place) {
      if (outcome && !data.answers.some(function (side) {
        return answersOf(side, place).some(function (at) { return meets(side, at); });
      })) { return false; }
      if (chosen.state && !data.answers.some(function (side) {
        return answersOf(side, place).some(function (at) { return side.state[at] === chosen.state; });
      })) { return false; }
      if (column && chosen.is && (column[1][place] < 0 || shown(column[1][place]) !== chosen.is)) { return false; }
      if (changes.length) {
        var better = changes.some(function (one) { return one[place] > 0; });
        var worse = changes.some(function (one) { return one[place] < 0; });
        if (chosen.flips === "same" ? better || worse : chosen.flips === "better" ? !better
          : chosen.flips === "worse" ? !worse : !better && !worse) { return false; }
      }
      return !query || haystack(place).indexOf(query) >= 0;
    };
  }
  function sorting() { return chosen.sort || (pair ? "change " : "") + (data.lead || "place"); }
  function keys() {
    var by = sorting(), place, found = new Float64Array(n);
    if (by === "place") { return Float64Array.from(data.order); }
    if (by === "id") {
      data.ids.map(function (id, at) { return [id, at]; }).sort(function (one, two) {
        return one[0] < two[0] ? -1 : one[0] > two[0] ? 1 : 0;
      }).forEach(function (entry, rank) { found[entry[1]] = rank; });
      return found;
    }
    var last = data.answers[data.answers.length - 1], id = by.replace(/^(change|spread) /, "");
    if (by.indexOf("change ") === 0 && pair) {
      var one = mean(data.answers[0], id), two = mean(data.answers[1], id);
      for (place = 0; place < n; place++) { found[place] = up(id) * Number((two[place] - one[place]).toFixed(9)); }
      return found;
    }
    if (by.indexOf("spread ") === 0) {
      for (place = 0; place < n; place++) {
        var known = answersOf(last, place).map(function (at) { return (last.metrics[id] || [])[at]; })
          .filter(function (value) { return typeof value === "number"; });
        found[place] = known.length > 1 ? -(Math.max.apply(null, known) - Math.min.apply(null, known)) : NaN;
      }
      return found;
    }
    var column = mean(last, id);
    for (place = 0; place < n; place++) { found[place] = up(id) * column[place]; }
    return found;
  }
  function refresh(keep) {
    var pass = passes(), by = keys(), turn = chosen.turn ? -1 : 1;
    listed = [];
    for (var place = 0; place < n; place++) { if (pass(place)) { listed.push(place); } }
    listed.sort(function (one, two) {
      var a = by[one], b = by[two];
      if (Number.isNaN(a) || Number.isNaN(b)) { return Number.isNaN(a) - Number.isNaN(b) || one - two; }
      return (a - b) * turn || one - two;
    });
    current = listed.indexOf(selected);
    count.textContent = listed.length === n ? n.toLocaleString("en") + (n === 1 ? " sample" : " samples")
      : listed.length.toLocaleString("en") + " of " + n.toLocaleString("en") + " samples";
    clearing.hidden = !NAMES.some(function (name) { return chosen[name] && name !== "sort" && name !== "turn"; });
    empty.hidden = listed.length > 0;
    space.style.height = listed.length * rowHeight + "px";
    if (!keep) { list.scrollTop = 0; }
    rows.forEach(function (row) { row.remove(); });
    rows.clear();
    draw();
  }

  // ---- the list: only the rows in sight exist ----------------------------------------------------------------------
  var rows = new Map(), rowHeight = 76, waiting = false;
  var list = make("div", { class: "sb-list", role: "listbox", tabindex: "0", "aria-label": "Samples", id: "samples-list" });
  var space = make("div", { class: "sb-space", role: "presentation" });
  var empty = make("p", { class: "sb-empty", hidden: true, text: "No sample is like that." });
  list.appendChild(space);
  function draw() {
    waiting = false;
    var from = Math.max(0, Math.floor(list.scrollTop / rowHeight) - 4);
    var to = Math.min(listed.length, Math.ceil((list.scrollTop + list.clientHeight) / rowHeight) + 4);
    rows.forEach(function (row, at) { if (at < from || at >= to) { row.remove(); rows.delete(at); } });
    for (var at = from; at < to; at++) {
      if (!rows.has(at)) { var row = rowOf(at); rows.set(at, row); space.appendChild(row); }
    }
    mark();
  }
  function mark() {
    rows.forEach(function (row, at) {
      row.setAttribute("aria-selected", at === current ? "true" : "false");
    });
    if (rows.has(current)) { list.setAttribute("aria-activedescendant", "sb-row-" + current); }
    else { list.removeAttribute("aria-activedescendant"); }
  }
  function later() { if (!waiting) { waiting = true; requestAnimationFrame(draw); } }
  list.addEventListener("scroll", later, { passive: true });
  function rowOf(at) {
    var place = listed[at], one = detail(place), image = one.images[0];
    var row = make("div", {
      class: "sb-row", role: "option", id: "sb-row-" + at, "aria-setsize": listed.length, "aria-posinset": at + 1 });
    row.style.transform = "translateY(" + at * rowHeight + "px)";
    row.style.height = rowHeight + "px";
    var frame = make("span", { class: "sb-thumb", "aria-hidden": "true" });
    if (image && image.source !== undefined) { frame.appendChild(picture(image, "")); }
    if (data.pictured) { add(row, frame); }
    add(row, make("span", { class: "sb-what" },
      make("span", { class: "sb-id" }, make("bdi", { text: short(data.ids[place], 80) })),
      make("span", { class: "sb-chips" }, chips(place))));
    add(row, make("span", { class: "sb-score" }, scoreLines(place)));
    row.addEventListener("click", function () { select(at, true); });
    return row;
  }
  function scoreLines(place) {
    var by = sorting().replace(/^(change|spread) /, "");
    var id = data.metrics.some(function (one) { return one.id === by; }) ? by : data.lead;
    if (!id) { return []; }
    var known = data.answers.map(function (side) { return mean(side, id)[place]; });
    if (!pair) { return [make("span", { text: number(known[0], 3) })]; }
    return [
      make("span", { text: signed(known[1] - known[0]) }),
      make("span", { class: "sb-faint", text: number(known[0], 2) + " → " + number(known[1], 2) })];
  }
  function chips(place) {
    var found = [], states = new Set(), last = data.answers[data.answers.length - 1];
    answersOf(last, place).forEach(function (at) { states.add(last.state[at]); });
    states.forEach(function (state) {
      if (state !== "strict" && state !== "text") { found.push(make("span", { class: "sb-chip s-" + state, text: plain(state) })); }
    });
    if (!answersOf(last, place).length) { found.push(make("span", { class: "sb-chip s-unasked", text: "not asked" })); }
    data.fields.forEach(function (field, at) {
      if (pair) {
        var step = change(at)[place];
        if (step) { found.push(make("span", { class: "sb-chip sb-" + (step > 0 ? "better" : "worse"), text: (step > 0 ? "▲ " : "▼ ") + short(field.name, 24) })); }
        return;
      }
      var codes = new Set(answersOf(last, place).map(function (one) { return last.outcomes[one][at]; }));
      codes.forEach(function (code) {
        if (code > "1" && code !== "5") { found.push(chip(Number(code), short(field.name, 24))); }
      });
    });
    if (found.length > 4) {
      var rest = found.length - 3;
      found = found.slice(0, 3);
      found.push(make("span", { class: "sb-faint", text: "+" + rest }));
    }
    if (!found.length) { found.push(make("span", { class: "sb-faint", text: pair ? "the same" : data.fields.length ? "all correct" : "" })); }
    return found;
  }

  // ---- choosing ----------------------------------------------------------------------------------------------------
  var narrow = window.matchMedia("(max-width: 56rem)");
  function select(at, open) {
    if (at < 0 || at >= listed.length) { return; }
    current = at;
    selected = listed[at];
    reach(at);
    show(selected);
    var opening = open && narrow.matches && !app.classList.contains("sb-open");
    if (open) { app.classList.add("sb-open"); }
    writeAddress(opening);
    draw();
    if (opening) { document.getElementById("samples-heading").focus({ preventScroll: true }); heading.scrollIntoView({ behavior: "instant" }); }
  }
  function reach(at) {
    var top = at * rowHeight, bottom = top + rowHeight - list.clientHeight;
    if (list.scrollTop > top) { list.scrollTop = top; } else if (list.scrollTop < bottom) { list.scrollTop = bottom; }
  }
  function step(by) { select(current < 0 ? 0 : Math.min(listed.length - 1, Math.max(0, current + by)), false); }
  function close() {
    app.classList.remove("sb-open");
    list.focus({ preventScroll: true });
    draw();
  }

  // ---- the bar of filters ------------------------------------------------------------------------------------------
  var controls = {};
  function choice(name, words, options) {
    var node = make("select", { id: "sb-" + name }, options.map(function (one) { return make("option", { value: one[0], text: one[1] }); }));
    node.addEventListener("change", function () {
      chosen[name] = node.value;
      if (name === "by") { chosen.is = ""; fillValues(); }
      refresh(); writeAddress(false);
    });
    controls[name] = node;
    return make("label", { class: "sb-control", for: "sb-" + name }, make("span", { text: words }), node);
  }
  function counted(counts) {
    return Array.from(counts.entries()).sort(function (one, two) { return two[1] - one[1]; });
  }
  function fillValues() {
    var column = columns.find(function (one) { return one[0] === chosen.by; }), counts = new Map();
    controls.is.textContent = "";
    controls.is.disabled = !column;
    add(controls.is, make("option", { value: "", text: "any" }));
    if (!column) { return; }
    column[1].forEach(function (code) { if (code >= 0) { counts.set(shown(code), (counts.get(shown(code)) || 0) + 1); } });
    counted(counts).forEach(function (entry) {
      add(controls.is, make("option", { value: entry[0], text: short(entry[0] || "\"\"", 40) + " (" + entry[1] + ")" }));
    });
  }
  function stateOptions() {
    var counts = new Map();
    data.answers.forEach(function (side) { side.state.forEach(function (state) { counts.set(state, (counts.get(state) || 0) + 1); }); });
    return [["", "any"]].concat(counted(counts).map(function (entry) { return [entry[0], plain(entry[0]) + " (" + entry[1].toLocaleString("en") + ")"]; }));
  }
  function sortOptions() {
    var found = [];
    if (pair) { metrics.forEach(function (one) { found.push(["change " + one.id, "change in " + one.title]); }); }
    var usual = metrics.slice().sort(function (one, two) { return (two.id === data.lead) - (one.id === data.lead); });
    usual.forEach(function (one) { found.push([one.id, one.title]); });
    if (data.lead && data.answers.some(function (side) { return side.repeat.some(function (one) { return one > 0; }); })) {
      found.push(["spread " + data.lead, "spread of " + title(data.lead) + " over repeats"]);
    }
    found.push(["place", "place in the data set"], ["id", "name"]);
    var first = found.findIndex(function (one) { return one[0] === sorting(); });
    if (first > 0) { found.unshift(found.splice(first, 1)[0]); }
    return found;
  }
  var search = make("input", { type: "search", id: "sb-q", placeholder: "id, value or text", autocomplete: "off", spellcheck: "false" });
  var timer = 0;
  search.addEventListener("input", function () {
    clearTimeout(timer);
    timer = setTimeout(function () { chosen.q = search.value; refresh(); writeAddress(false); }, 120);
  });
  var turned = make("button", { type: "button", "aria-pressed": "false", text: "Reverse" });
  turned.addEventListener("click", function () { chosen.turn = chosen.turn ? "" : "1"; fill(); refresh(); writeAddress(false); });
  var clearing = make("button", { type: "button", hidden: true, text: "Clear filters" });
  clearing.addEventListener("click", clearFilters);
  function clearFilters() {
    var sort = chosen.sort, turn = chosen.turn;
    clear();
    chosen.sort = sort; chosen.turn = turn;
    fill(); refresh(); writeAddress(false);
  }
  var help = make("button", { type: "button", "aria-haspopup": "dialog", text: "Keys" });
  var count = make("p", { class: "sb-count", role: "status" });
  var shortcuts = true;
  var dialog = helpDialog();
  help.addEventListener("click", function () { dialog.showModal(); });
  function helpDialog() {
    var box = make("input", { type: "checkbox", id: "sb-keys", checked: true });
    box.addEventListener("change", function () { shortcuts = box.checked; });
    var done = make("button", { type: "button", text: "Close" });
    var node = make("dialog", { class: "sb-help", "aria-labelledby": "sb-help-title" }, make("h3", { id: "sb-help-title", text: "Keys" }),
      make("dl", {}, [["j, k", "next and previous sample"], ["Enter", "open the sample"], ["Escape", "back to the list; then clear the filters"], ["/", "search"], ["?", "this help"]].map(function (one) {
        return make("div", {}, make("dt", {}, make("kbd", { text: one[0] })), make("dd", { text: one[1] }));
      })), make("label", { for: "sb-keys" }, box, " keys are on"), make("p", {}, done));
    done.addEventListener("click", function () { node.close(); });
    return node;
  }
  function fill() {
    Object.keys(controls).forEach(function (name) {
      if (name === "is") { fillValues(); }
      controls[name].value = name === "sort" ? sorting() : chosen[name];
      if (controls[name].selectedIndex < 0) { controls[name].selectedIndex = 0; chosen[name] = ""; }
    });
    search.value = chosen.q;
    turned.setAttribute("aria-pressed", chosen.turn ? "true" : "false");
  }

  // ---- putting it together -----------------------------------------------------------------------------------------
  var bar = make("div", { class: "sb-bar", role: "search", "aria-label": "Find samples" },
    make("label", { class: "sb-control sb-wide", for: "sb-q" }, make("span", { text: "Search" }), search),
    data.fields.length ? choice("field", "Field", [["", "any"]].concat(data.fields.map(function (one) { return [one.name, one.name]; }))) : null,
    data.fields.length ? choice("outcome", pair ? "Outcome, in either run" : "Outcome", [["", "any"], ["missed", "not correct"]].concat(OUTCOMES.map(function (name, at) { return [name, WORDS[at]]; }))) : null,
    pair ? choice("flips", "Flips", [["", "any"], ["changed", "changed"], ["better", "better"], ["worse", "worse"], ["same", "the same"]]) : null,
    choice("state", "State", stateOptions()),
    columns.length ? choice("by", "Slice", [["", "none"]].concat(columns.map(function (one) { return [one[0], one[0]]; }))) : null,
    columns.length ? choice("is", "is", [["", "any"]]) : null,
    choice("sort", "Order, worst first by", sortOptions()),
    make("span", { class: "sb-buttons" }, turned, clearing, help));
  var app = make("div", { class: "sb-app" }, bar, count, make("div", { class: "sb-panes" }, make("div", { class: "sb-left" }, list, empty), pane), dialog);
  host.appendChild(app);
  part.classList.add("sb-ready");
  function measure() {
    rowHeight = Math.round(4.75 * parseFloat(getComputedStyle(document.documentElement).fontSize));
    space.style.height = listed.length * rowHeight + "px";
  }
  window.addEventListener("resize", function () { measure(); rows.forEach(function (row) { row.remove(); }); rows.clear(); draw(); });
  function apply() {
    var given = readAddress();
    if (given) {
      clear();
      NAMES.forEach(function (name) { chosen[name] = given.get(name) || ""; });
    }
    fill(); refresh();
    var id = given && given.get("sample");
    if (id !== null && id !== false && byId.has(id)) {
      selected = byId.get(id);
      current = listed.indexOf(selected);
      if (current >= 0) { reach(current); }
      show(selected);
      app.classList.add("sb-open");
      draw();
    } else {
      app.classList.remove("sb-open");
      if (id) { count.textContent = "No sample is called " + visible(short(id, 60)) + ". " + count.textContent; }
      if (listed.length && (selected < 0 || current < 0)) { selected = listed[0]; current = 0; show(selected); draw(); }
    }
    if (given) { heading.scrollIntoView({ behavior: "instant" }); }
  }
  window.addEventListener("hashchange", function () { if (readAddress() || app.classList.contains("sb-open")) { apply(); } });
  list.addEventListener("keydown", function (event) {
    var page = Math.max(1, Math.floor(list.clientHeight / rowHeight) - 1);
    var way = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -n, End: n }[event.key];
    if (way !== undefined) { event.preventDefault(); step(way); }
    else if (event.key === "Enter" && current >= 0) { event.preventDefault(); enter(); }
  });
  function enter() {
    select(current < 0 ? 0 : current, true);
    document.getElementById("samples-heading").focus({ preventScroll: !narrow.matches });
  }
  document.addEventListener("keydown", function (event) {
    var target = event.target, typing = target.closest && target.closest("input, select, textarea, dialog");
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialog.open) { return; }
    if (event.key === "Escape") {
      if (target === search && search.value) { return; }  // the browser empties the field
      if (app.contains(target) && (pane.contains(target) || app.classList.contains("sb-open")) && target !== list && !bar.contains(target)) { close(); }
      else if (app.contains(target)) { if (bar.contains(target)) { list.focus(); } else { clearFilters(); } }
      return;
    }
    if (!shortcuts || typing) { return; }
    if (event.key === "j" || event.key === "k") { event.preventDefault(); host.scrollIntoView({ block: "nearest", behavior: "instant" }); step(event.key === "j" ? 1 : -1); }
    else if (event.key === "/") { event.preventDefault(); search.focus(); }
    else if (event.key === "?") { event.preventDefault(); dialog.showModal(); }
    else if (event.key === "Enter" && (target === document.body || target === document.documentElement) && current >= 0) { enter(); }
  });
  ground.close = close;
  ground.step = step;
  measure();
  apply();
  host.dataset.ready = String(Math.round(performance.now()));
})(peakbenchSamples); }
