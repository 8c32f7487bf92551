"use strict";
// The sample browser, one sample: pictures, fields side by side, why the score is what it is, the text as it came.
// ``ground.close`` and ``ground.step`` are set by samples.js.
if (peakbenchSamples) { (function (ground) {
  const { data, pair, values, OUTCOMES, WORDS, WHY, make, add, short, number, plain, detail, answersOf, title, change } = ground;
  const { chip, picture } = ground;
  var pane = ground.pane = make("div", { class: "sb-detail", role: "region", tabindex: "0", "aria-label": "The chosen sample", id: "samples-detail" });
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
    back.addEventListener("click", function () { ground.close(); });
    var before = make("button", { type: "button", "aria-label": "Previous sample", text: "↑" });
    before.addEventListener("click", function () { ground.step(-1); });
    var after = make("button", { type: "button", "aria-label": "Next sample", text: "↓" });
    after.addEventListener("click", function () { ground.step(1); });
    add(pane, make("div", { class: "sb-head" }, back,
      make("h3", { tabindex: "-1", id: "samples-heading" }, make("bdi", { text: id })),
      make("span", { class: "sb-tools" },
        make("a", { href: "#" + new URLSearchParams({ sample: id }), text: "link" }), before, after)));
    var images = one.images.map(function (image, nth) {
      var words = "Image " + (nth + 1) + " of sample " + id + (image.label ? ": " + image.label : "");
      var size = image.width ? image.width + " × " + image.height : "";
      return make("figure", {}, image.source !== undefined ? picture(image, words) : make("span", { class: "sb-note", text: image.note }),
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
    if (!repeated) { return name; }
    return (pair ? name + ", repeat " : "Repeat ") + side.repeat[at];
  }
  function fieldTable(place, answers) {
    var head = make("tr", {}, make("th", { scope: "col", text: "field" }), make("th", { scope: "col", text: "reference" }),
      answers.map(function (answer) { return make("th", { scope: "col", text: answer.name === "Answer" ? "answer" : answer.name }); }),
      make("th", { scope: "col", class: "sb-number sb-weight", text: answers.length > 1 ? "weight" : "weight × score" }));
    var body = make("tbody");
    data.fields.forEach(function (field, at) {
      var given = data.references[place][at], missed = false;
      var cells = answers.map(function (answer) {
        var code = answer.side.outcomes[answer.at][at], value = (answer.side.values[answer.at] || [])[at];
        if (code !== undefined && code > "1") { missed = true; }
        return make("td", {}, answer.more.failure ? make("span", { class: "sb-faint", text: "failed" }) : code === "5" ? make("span", { class: "sb-faint", text: "not read" }) : valueNode(value),
          code === undefined || code === "-" ? null : make("div", { class: "sb-verdict", title: WHY[Number(code)] }, chip(Number(code)), partly(answer.side.scores[answer.at][at])));
      });
      var score = answers.length === 1 ? answers[0].side.scores[answers[0].at][at] : null;
      var step = pair ? change(at)[place] : 0;
      add(body, make("tr", { class: missed ? "sb-missed" : null },
        make("th", { scope: "row" }, make("bdi", { text: field.name }),
          step ? make("div", {}, make("span", { class: "sb-chip sb-" + (step > 0 ? "better" : "worse"), text: step > 0 ? "▲ better" : "▼ worse" })) : null),
        make("td", {}, valueNode(given)), cells,
        make("td", { class: "sb-number sb-weight" }, answers.length > 1 ? number(field.weight, 1) : score === null || score === undefined ? "–" :
          number(field.weight, 1) + " × " + number(score, 2) + " = " + number(field.weight * score, 2))));
    });
    return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Field by field" },
      make("table", { class: "sb-fields" }, make("caption", { text: "Field by field" }), make("thead", {}, head), body));
  }
  // The outcome says 0 and 1; only what lies between is a number to look at.
  function partly(score) {
    return score === null || score === 0 || score === 1 ? null : make("span", { class: "sb-faint", text: " " + number(score, 2) });
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
    var explained = more.failure ? null : why(side, at), read = state !== "unparseable" && state !== "off_schema";
    if (read) { found.push(explained); }
    if (more.refusal) { found.push(make("h4", { text: "Refusal" }), textBlock(more.refusal)); }
    if (one.reference && more.text) { found.push(make("h4", { text: "Difference" }), difference(one.reference, more.text)); }
    if (more.text !== undefined) {
      found.push(make("h4", { text: "Text as it came" }), textBlock(more.text, more.problem ? more.problem[1] : null));
    } else if (!more.failure) { found.push(make("p", { class: "sb-note", text: "There is no text." })); }
    if (more.reasoning) { found.push(folded("Reasoning", textBlock(more.reasoning))); }
    if (!read) { found.push(explained); }
    found.push(metricTable(side, at));
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
  ground.show = show;
})(peakbenchSamples); }
