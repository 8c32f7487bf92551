"use strict";
// The sample browser. Every text of the data reaches the page through textContent; there is no innerHTML anywhere.
(function () {
  var part = document.getElementById("samples-part"), host = document.getElementById("samples-browser"), store = document.getElementById("samples-index");
  if (!host || !store) { return; }
  var heading = document.getElementById("samples") || part;
  var OUTCOMES = ["correct", "correct_null", "wrong", "invented", "omitted", "unread"];
  var WORDS = ["correct", "both null", "wrong", "invented", "omitted", "unread"];
  var SIGNS = ["✓", "✓", "✗", "+", "−", "?"];
  var WHY = [
    "the same, as this field is compared", "the reference and the answer are both null", "another value",
    "the reference is null, the answer has a value", "the reference has a value, the answer has none",
    "the answer cannot be read"];
  var data = JSON.parse(store.textContent);
  var n = data.ids.length, pair = data.runs.length > 1, values = data.values;
  var chunks = [], haystacks = new Array(n), means = {}, moved = {};
  var metrics = data.metrics.filter(function (one) {
    return data.answers.some(function (side) { return side.metrics[one.id]; });
  });
  var byId = new Map(data.ids.map(function (id, place) { return [id, place]; }));
  var columns = data.metadata.columns;
  data.answers.forEach(function (side) {
    side.first = new Int32Array(n + 1);
    side.of.forEach(function (place) { side.first[place + 1] += 1; });
    for (var place = 0; place < n; place++) { side.first[place + 1] += side.first[place]; }
  });

  // ---- small tools -------------------------------------------------------------------------------------------
  function make(tag, attributes) {
    var node = document.createElement(tag), name, place;
    for (name in attributes || {}) {
      if (attributes[name] === null || attributes[name] === undefined || attributes[name] === false) { continue; }
      if (name === "text") { node.textContent = visible(attributes.text); }
      else if (name === "class") { node.className = attributes[name]; }
      else { node.setAttribute(name, attributes[name] === true ? "" : attributes[name]); }
    }
    for (place = 2; place < arguments.length; place++) { add(node, arguments[place]); }
    return node;
  }
  function add(node, child) {
    if (child === null || child === undefined || child === false) { return; }
    if (Array.isArray(child)) { child.forEach(function (one) { add(node, one); }); return; }
    node.appendChild(typeof child === "object" ? child : document.createTextNode(visible(String(child))));
  }
  // Characters that show nothing, or turn the text around them, stand as escapes.
  var HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
  function visible(text) {
    return String(text).replace(HIDDEN, function (one) {
      return one === "\n" || one === "\t" ? one : "\\u" + one.codePointAt(0).toString(16).padStart(4, "0");
    });
  }
  function short(text, limit) { return text.length <= limit ? text : text.slice(0, limit) + "…"; }
  function shown(code) { var entry = values[code]; return typeof entry === "string" ? entry : entry[0]; }
  function number(value, digits) {
    if (value === null || value === undefined || Number.isNaN(value)) { return "–"; }
    if (digits === undefined) { digits = 4; }
    return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toFixed(digits);
  }
  function signed(value, digits) {
    if (Number.isNaN(value)) { return "–"; }
    return (value > 0 ? "+" : value < 0 ? "−" : "±") + Math.abs(value).toFixed(digits === undefined ? 3 : digits);
  }
  function plain(state) { return state.replace(/_/g, "-"); }
  function detail(place) {
    var number = Math.floor(place / data.chunk);
    if (!chunks[number]) {
      chunks[number] = JSON.parse(document.getElementById("samples-details-" + number).textContent);
    }
    return chunks[number][place % data.chunk];
  }
  function answersOf(side, place) {
    var found = [];
    for (var at = side.first[place]; at < side.first[place + 1]; at++) { found.push(at); }
    return found;
  }
  function title(id) {
    var one = data.metrics.find(function (metric) { return metric.id === id; });
    return one ? one.title : id;
  }

  // ---- numbers a sample: means over the repeats, and what changed between two runs ---------------------------------
  function mean(side, id) {
    var key = data.answers.indexOf(side) + " " + id;
    if (!means[key]) {
      var column = side.metrics[id], found = new Float64Array(n).fill(NaN);
      for (var place = 0; column && place < n; place++) {
        var sum = 0, count = 0;
        for (var at = side.first[place]; at < side.first[place + 1]; at++) {
          if (column[at] !== null) { sum += column[at]; count += 1; }
        }
        if (count) { found[place] = sum / count; }
      }
      means[key] = found;
    }
    return means[key];
  }
  function fieldMean(side, place, field) {
    var score = 0, correct = 0, count = 0;
    for (var at = side.first[place]; at < side.first[place + 1]; at++) {
      if (side.outcomes[at][field] === "-" || !side.outcomes[at].length) { continue; }
      score += side.scores[at][field];
      correct += side.outcomes[at][field] < "2" ? 1 : 0;
      count += 1;
    }
    return count ? [score / count, correct / count] : null;
  }
  // 1 better, -1 worse, 0 the same or not to be compared; of a field, or of the leading metric where there are none
  function change(field) {
    if (!moved[field]) {
      var found = new Int8Array(n), place, first, second, step;
      for (place = 0; place < n; place++) {
        if (field < 0) {
          step = (mean(data.answers[1], data.lead)[place] - mean(data.answers[0], data.lead)[place]) * up(data.lead);
        } else {
          first = fieldMean(data.answers[0], place, field);
          second = fieldMean(data.answers[1], place, field);
          if (!first || !second) { continue; }
          step = Math.abs(second[0] - first[0]) > 1e-9 ? second[0] - first[0] : second[1] - first[1];
        }
        found[place] = step > 1e-9 ? 1 : step < -1e-9 ? -1 : 0;
      }
      moved[field] = found;
    }
    return moved[field];
  }
  function up(id) {
    var one = data.metrics.find(function (metric) { return metric.id === id; });
    return one && !one.higher ? -1 : 1;
  }

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
    if (image && image.source) { frame.appendChild(picture(image, "")); }
    add(row, frame);
    add(row, make("span", { class: "sb-what" },
      make("span", { class: "sb-id" }, make("bdi", { text: short(data.ids[place], 80) })),
      make("span", { class: "sb-chips" }, chips(place))));
    add(row, make("span", { class: "sb-score" }, scoreLines(place)));
    row.addEventListener("click", function () { select(at, true); });
    return row;
  }
  function picture(image, words) {
    var node = make("img", {
      alt: words, width: image.width, height: image.height, decoding: "async", src: image.source, draggable: "false" });
    node.addEventListener("error", function () {
      node.replaceWith(make("span", { class: "sb-note", text: words ? "the picture is no longer beside this page" : "" }));
    });
    return node;
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
  function chip(code, words) {
    return make("span", { class: "sb-chip o-" + OUTCOMES[code] },
      make("span", { "aria-hidden": "true", text: SIGNS[code] + " " }), (words ? words + " " : "") + WORDS[code]);
  }

  // ---- one sample --------------------------------------------------------------------------------------------------
  var pane = make("div", { class: "sb-detail", role: "region", tabindex: "0", "aria-label": "The chosen sample", id: "samples-detail" });
  function show(place) {
    var one = detail(place), id = data.ids[place], answers = [];
    data.answers.forEach(function (side, run) {
      answersOf(side, place).forEach(function (at, nth) {
        answers.push({ side: side, at: at, run: run, more: one.runs[run][nth] || {}, name: answerName(side, run, at) });
      });
    });
    pane.textContent = "";
    pane.scrollTop = 0;
    var back = make("button", { type: "button", class: "sb-back", text: "← List" });
    back.addEventListener("click", close);
    var before = make("button", { type: "button", "aria-label": "Previous sample", text: "↑" });
    before.addEventListener("click", function () { step(-1); });
    var after = make("button", { type: "button", "aria-label": "Next sample", text: "↓" });
    after.addEventListener("click", function () { step(1); });
    add(pane, make("div", { class: "sb-head" }, back,
      make("h3", { tabindex: "-1", id: "samples-heading" }, make("bdi", { text: id })),
      make("span", { class: "sb-tools" },
        make("a", { href: "#" + new URLSearchParams({ sample: id }), text: "link" }), before, after)));
    var images = one.images.map(function (image, nth) {
      var words = "Image " + (nth + 1) + " of sample " + id + (image.label ? ": " + image.label : "");
      var size = image.width ? image.width + " × " + image.height : "";
      return make("figure", {}, image.source ? picture(image, words) : make("span", { class: "sb-note", text: image.note }),
        make("figcaption", { text: [image.label, image.name && short(image.name, 60), size].filter(Boolean).join(", ") }));
    });
    var facts = one.metadata.slice(0, 40).map(function (entry) {
      return make("div", {}, make("dt", { text: entry[0] }), make("dd", {}, make("bdi", { text: short(entry[1], 400) })));
    });
    add(pane, make("div", { class: "sb-top" }, images.length ? make("div", { class: "sb-images" }, images) : null,
      facts.length ? make("dl", { class: "sb-facts" }, facts) : null));
    if (one.prompt) { add(pane, folded("Prompt of its own", textBlock(one.prompt))); }
    if (one.unlabelled) { add(pane, make("p", { class: "sb-note", text: "It has no reference, so nothing is scored against one." })); }
    if (!answers.length) { add(pane, make("p", { class: "sb-note", text: "It was not asked yet." })); }
    if (data.fields.length && answers.length) { add(pane, fieldTable(place, answers)); }
    if (one.reference) {
      add(pane, make("h4", { text: "Reference" }));
      add(pane, textBlock(one.reference));
    }
    answers.forEach(function (answer) {
      var body = answerBody(answer, one);
      if (answers.length === 1) { add(pane, body); return; }
      var fold = make("details", { class: "sb-answer", open: answer.more.failure || answers.length < 3 },
        make("summary", {}, make("strong", { text: answer.name }), " ", make("span", { class: "sb-chip s-" + answer.side.state[answer.at], text: plain(answer.side.state[answer.at]) }),
          data.lead ? " " + title(data.lead) + " " + number((answer.side.metrics[data.lead] || [])[answer.at]) : ""));
      add(fold, body);
      add(pane, fold);
    });
  }
  function answerName(side, run, at) {
    var repeated = side.repeat.some(function (one) { return one > 0; });
    var name = pair ? short(data.runs[run], 40) + (data.runs[0] === data.runs[1] ? run ? " (second)" : " (first)" : "") : "Answer";
    return repeated ? name + ", repeat " + side.repeat[at] : name;
  }
  function fieldTable(place, answers) {
    var head = make("tr", {}, make("th", { scope: "col", text: "field" }), make("th", { scope: "col", text: "reference" }),
      answers.map(function (answer) { return make("th", { scope: "col", text: answer.name === "Answer" ? "answer" : answer.name }); }),
      make("th", { scope: "col", class: "sb-number", text: answers.length > 1 ? "weight" : "weight × score" }));
    var body = make("tbody");
    data.fields.forEach(function (field, at) {
      var given = data.references[place][at], missed = false;
      var cells = answers.map(function (answer) {
        var code = answer.side.outcomes[answer.at][at], value = (answer.side.values[answer.at] || [])[at];
        if (code !== undefined && code > "1") { missed = true; }
        return make("td", {}, answer.more.failure ? make("span", { class: "sb-faint", text: "failed" }) : code === "5" ? make("span", { class: "sb-faint", text: "not read" }) : valueNode(value),
          code === undefined || code === "-" ? null : make("div", { class: "sb-verdict", title: WHY[Number(code)] }, chip(Number(code)), " ",
            make("span", { class: "sb-faint", text: number(answer.side.scores[answer.at][at], 2) })));
      });
      var score = answers.length === 1 ? answers[0].side.scores[answers[0].at][at] : null;
      var step = pair ? change(at)[place] : 0;
      add(body, make("tr", { class: missed ? "sb-missed" : null },
        make("th", { scope: "row" }, make("bdi", { text: field.name }),
          step ? make("div", {}, make("span", { class: "sb-chip sb-" + (step > 0 ? "better" : "worse"), text: step > 0 ? "▲ better" : "▼ worse" })) : null),
        make("td", {}, valueNode(given)), cells,
        make("td", { class: "sb-number" }, answers.length > 1 ? number(field.weight, 1) : score === null || score === undefined ? "–" :
          number(field.weight, 1) + " × " + number(score, 2) + " = " + number(field.weight * score, 2))));
    });
    return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Field by field" },
      make("table", { class: "sb-fields" }, make("caption", { text: "Field by field" }), make("thead", {}, head), body));
  }
  function valueNode(code) {
    if (code === undefined || code < 0) { return make("span", { class: "sb-faint", text: "no such key" }); }
    var entry = values[code];
    if (typeof entry !== "string") { return make("code", { text: short(entry[0], 600) }); }
    return make("bdi", { text: entry === "" ? "\"\"" : short(entry, 600) });
  }
  function answerBody(answer, one) {
    var side = answer.side, at = answer.at, more = answer.more, found = [], lines = [];
    var state = side.state[at];
    if (more.failure) {
      lines.push("failed: " + more.failure[0] + (more.failure[1] ? " " + more.failure[1] : "") + (more.failure[2] ? ": " + more.failure[2] : ""));
      lines.push("A failed request is no wrong answer: it is counted apart, and no metric scores it.");
    } else {
      var line = "Answer: " + plain(state);
      if (more.problem) {
        line += ": " + more.problem[0].replace(/_/g, " ") + (more.problem[1] === null ? "" : " at character " + more.problem[1]) + (more.problem[2] ? " (" + more.problem[2] + ")" : "");
      }
      lines.push(line);
    }
    if (more.truncated) { lines.push("Truncated: the server stopped at the token limit."); }
    if (more.duplicates) { lines.push(more.duplicates + " keys stood twice; the last one counts."); }
    if (more.extra) { lines.push("Keys that the task does not know: " + more.extra.join(", ")); }
    if (data.profile && (state === "unparseable" || state === "off_schema")) { lines.push("Profile " + data.profile + ": scored as if every field were null."); }
    var facts = [];
    if (more.latency !== undefined) { facts.push(number(more.latency, 3) + " s"); }
    if (more.ttft !== undefined) { facts.push("first token after " + number(more.ttft, 3) + " s"); }
    if (more.finish) { facts.push("finish reason " + more.finish); }
    if (more.attempts > 1) { facts.push(more.attempts + " attempts"); }
    (more.tokens || []).forEach(function (entry) { facts.push(entry[0].replace(/_/g, " ") + " " + entry[1].toLocaleString("en")); });
    if (more.model) { facts.push("the server calls the model " + more.model); }
    lines.forEach(function (text) { found.push(make("p", { text: text })); });
    if (facts.length) { found.push(make("p", { class: "caption", text: facts.join(", ") })); }
    if (!more.failure) { found.push(why(side, at)); }
    found.push(metricTable(side, at));
    if (more.refusal) { found.push(make("h4", { text: "Refusal" }), textBlock(more.refusal)); }
    if (one.reference && more.text) { found.push(make("h4", { text: "Difference" }), difference(one.reference, more.text)); }
    if (more.text !== undefined) {
      found.push(make("h4", { text: "Text as it came" }), textBlock(more.text, more.problem ? more.problem[1] : null));
    } else if (!more.failure) { found.push(make("p", { class: "sb-note", text: "There is no text." })); }
    if (more.reasoning) { found.push(folded("Reasoning", textBlock(more.reasoning))); }
    if (more.request) { found.push(make("p", { class: "caption", text: "request " + more.request.slice(0, 16) })); }
    return found;
  }
  // Why the score is what it is: weighted fields, and each composite term by term, by its signature.
  function why(side, at) {
    var found = [make("h4", { text: "Why the score is what it is" })];
    var stored = (side.metrics.weighted_score || [])[at];
    if (data.fields.length && stored !== undefined && stored !== null) {
      var weights = 0, gained = 0, lost = [];
      data.fields.forEach(function (field, place) {
        var score = side.scores[at][place];
        if (score === null || score === undefined) { return; }
        weights += field.weight;
        gained += field.weight * score;
        if (score < 1) { lost.push(field.name + " " + number(field.weight * (1 - score), 2) + " (" + WORDS[Number(side.outcomes[at][place])] + ")"); }
      });
      var agrees = weights && Math.abs(gained / weights - stored) < 1e-4;
      found.push(make("p", {}, make("strong", { text: title("weighted_score") + " " + number(stored) }), ": ",
        agrees ? number(gained, 2) + " of " + number(weights, 2) + " weight gained" + (lost.length ? "; lost: " + lost.join(", ") : ", nothing lost")
          : "it does not come from these fields and weights alone."));
    }
    data.metrics.forEach(function (metric) {
      var terms = metric.terms, column = side.metrics[metric.id];
      if (!terms || (!column && metric.id !== "quality")) { return; }
      found.push(termTable(metric, terms, side, at, column ? column[at] : null));
    });
    return found.length > 1 ? found : null;
  }
  function termTable(metric, terms, side, at, stored) {
    var sum = 0, missing = [], body = make("tbody");
    terms.parts.forEach(function (part) {
      var value = (side.metrics[part[0]] || [])[at];
      if (value === undefined || value === null) { missing.push(part[0]); value = null; } else { sum += part[1] * value; }
      add(body, make("tr", {}, make("th", { scope: "row", text: title(part[0]) }), make("td", { class: "sb-number", text: number(part[1], 2) }),
        make("td", { class: "sb-number", text: number(value) }), make("td", { class: "sb-number", text: value === null ? "–" : number(part[1] * value) })));
    });
    sum /= terms.divide_by;
    add(body, make("tr", { class: "sb-sum" }, make("th", { scope: "row", text: terms.divide_by === 1 ? "sum" : "sum / " + terms.divide_by }),
      make("td"), make("td"), make("td", { class: "sb-number", text: missing.length ? "–" : number(sum) })));
    var words = [], penalty = terms.penalty, value = sum;
    if (missing.length) {
      words.push(missing.map(function (id) { return title(id) + " is unscored: " + (reason(side, id, at) || "no reason given"); }).join("; ") + ". A missing part is never replaced, nor the others raised.");
    } else if (stored === 1 && terms.exact && sum < 1 - 1e-4) {
      words.push("An exact answer is 1 at once: the keys of the reference and no other, every field exact.");
      value = 1;
    } else if (penalty && !penalty.on) {
      words.push("The penalty for " + title(penalty.metric).toLowerCase() + " was off when the run was scored, so nothing lowers the sum.");
    } else if (penalty) {
      var judged = (side.metrics[penalty.metric] || [])[at];
      if (judged === null || judged === undefined) { words.push(title(penalty.metric) + " is unscored, so the penalty is not known."); }
      else {
        var factor = 1 - penalty.strength * Math.max(judged - penalty.above, 0) / (1 - penalty.above);
        value = sum * factor;
        words.push(factor === 1 ? title(penalty.metric) + " " + number(judged) + ": not above " + penalty.above + ", no penalty."
          : title(penalty.metric) + " " + number(judged) + " lowers it: " + number(sum) + " × " + number(factor) + " = " + number(value) + ".");
      }
    }
    if (!missing.length && stored !== null && stored !== undefined && Math.abs(value - stored) > 1e-4) {
      words.push("The terms come to " + number(value) + ", and " + number(stored) + " is stored: scored with other definitions or models.");
    }
    return make("div", { class: "sb-terms" }, make("table", {}, make("caption", { text: metric.title + " " + number(stored) }),
      make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "part" }), ["weight", "value", "weight × value"].map(function (name) {
        return make("th", { scope: "col", class: "sb-number", text: name });
      }))), body), words.map(function (text) { return make("p", { class: "caption", text: text }); }));
  }
  function reason(side, id, at) {
    var found = side.reasons[id];
    var code = Array.isArray(found) ? found[at] : found;
    return code === undefined || code < 0 ? "" : shown2(data.reasons[code]);
  }
  function shown2(entry) { return typeof entry === "string" ? entry : entry[0]; }
  function metricTable(side, at) {
    var body = make("tbody");
    data.metrics.forEach(function (metric) {
      if (!(metric.id in side.metrics)) { return; }
      var value = (side.metrics[metric.id] || [])[at], words = reason(side, metric.id, at);
      add(body, make("tr", {}, make("th", { scope: "row", text: metric.title }),
        make("td", { class: "sb-number", text: value === null || value === undefined ? "unscored" : number(value) + (metric.unit ? " " + metric.unit : "") }),
        make("td", { text: words })));
    });
    return body.childNodes.length ? folded("All metrics", make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "All metrics" }, make("table", {},
      make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "metric" }), make("th", { scope: "col", class: "sb-number", text: "value" }), make("th", { scope: "col", text: "why not" }))), body))) : null;
  }
  function folded(words, child) { return make("details", {}, make("summary", { text: words }), child); }
  // A text is itself, or its beginning and how many characters are missing. ``position`` counts code points.
  function textBlock(text, position) {
    var whole = Array.isArray(text) ? text[0] : text, block = make("pre", { tabindex: "0" });
    if (typeof position === "number") {
      var letters = Array.from(whole);
      if (position < letters.length) {
        add(block, letters.slice(0, position).join(""));
        add(block, make("mark", { title: "here it goes wrong", text: letters[position] === "\n" ? "↵\n" : letters[position] }));
        add(block, letters.slice(position + 1).join(""));
      } else {
        add(block, whole);
        add(block, make("mark", { title: "here it goes wrong", text: "(end)" }));
      }
    } else { add(block, whole); }
    if (Array.isArray(text)) { add(block, make("span", { class: "sb-cut", text: "… cut: " + text[1].toLocaleString("en") + " more characters are in responses.jsonl" })); }
    return block;
  }
  // Word by word, by the longest common subsequence; long texts by their first words.
  function difference(first, second) {
    var cut = function (text) { return (Array.isArray(text) ? text[0] : text).split(/(\s+)/).filter(Boolean).slice(0, 800); };
    var one = cut(first), two = cut(second), width = two.length + 1, table = new Uint16Array((one.length + 1) * width), i, j;
    for (i = one.length - 1; i >= 0; i--) {
      for (j = two.length - 1; j >= 0; j--) {
        table[i * width + j] = one[i] === two[j] ? table[(i + 1) * width + j + 1] + 1
          : Math.max(table[(i + 1) * width + j], table[i * width + j + 1]);
      }
    }
    var block = make("pre", { tabindex: "0" });
    i = 0; j = 0;
    while (i < one.length || j < two.length) {
      if (i < one.length && j < two.length && one[i] === two[j]) { add(block, one[i]); i += 1; j += 1; }
      else if (j >= two.length || (i < one.length && table[(i + 1) * width + j] >= table[i * width + j + 1])) { add(block, make("del", { text: one[i] })); i += 1; }
      else { add(block, make("ins", { text: two[j] })); j += 1; }
    }
    return block;
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
  measure();
  apply();
  host.dataset.ready = String(Math.round(performance.now()));
})();
