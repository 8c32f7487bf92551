"use strict";
// The sample browser, its ground: the data, the sums over repeats, and how a node of the page is made. Every text of the
// data reaches the page through textContent; there is no innerHTML anywhere in these files.
const peakbenchSamples = (function () {
  var store = document.getElementById("samples-index");
  if (!store) { return null; }
  var OUTCOMES = ["correct", "correct_null", "wrong", "invented", "omitted", "unread"];
  var WORDS = ["correct", "both null", "wrong", "invented", "omitted", "unread"];
  var SIGNS = ["✓", "✓", "✗", "+", "−", "?"];
  var WHY = [
    "the same, as this field is compared", "the reference and the answer are both null", "another value",
    "the reference is null, the answer has a value", "the reference has a value, the answer has none",
    "the answer cannot be read"];
  var data = JSON.parse(store.textContent);
  var n = data.ids.length, pair = data.runs.length > 1, values = data.values;
  var chunks = {}, means = {}, moved = {};
  var metrics = data.metrics.filter(function (one) {
    return data.answers.some(function (side) { return side.metrics[one.id]; });
  });
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
  // Details and pictures are read chunk by chunk, when one of them is looked at.
  function chunk(kind, place) {
    var name = "samples-" + kind + "-" + Math.floor(place / data.chunk);
    if (!chunks[name]) { chunks[name] = JSON.parse(document.getElementById(name).textContent); }
    return chunks[name][place % data.chunk];
  }
  function detail(place) { return chunk("details", place); }
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

  function chip(code, words) {
    return make("span", { class: "sb-chip o-" + OUTCOMES[code] },
      make("span", { "aria-hidden": "true", text: SIGNS[code] + " " }), (words ? words + " " : "") + WORDS[code]);
  }
  function picture(image, words) {
    var source = typeof image.source === "number" ? chunk("pictures", image.source) : image.source;
    var node = make("img", {
      alt: words, width: image.width, height: image.height, decoding: "async", src: source, draggable: "false" });
    node.addEventListener("error", function () {
      node.replaceWith(make("span", { class: "sb-note", text: words ? "the picture is no longer beside this page" : "" }));
    });
    return node;
  }
  return {
    data: data, n: n, pair: pair, values: values, metrics: metrics, OUTCOMES: OUTCOMES, WORDS: WORDS, WHY: WHY,
    make: make, add: add, visible: visible, short: short, shown: shown, number: number, signed: signed, plain: plain,
    detail: detail, answersOf: answersOf, title: title, mean: mean, change: change, up: up, chip: chip, picture: picture
  };
})();
