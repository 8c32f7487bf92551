"use strict";
// Columns of a leaderboard sort when their heads are pressed; without this script the table stands in its order.
(function () {
  function value(row, column) {
    var cell = row.cells[column];
    var text = cell.hasAttribute("data-v") ? cell.getAttribute("data-v") : cell.textContent.trim();
    if (text === "" || text === "-") { return null; }
    var number = Number(text.replace(/,/g, "").split(" ")[0]);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  }
  function compare(first, second) {
    if (typeof first === typeof second) { return first < second ? -1 : first > second ? 1 : 0; }
    return typeof first === "number" ? -1 : 1;
  }
  document.querySelectorAll("table.board").forEach(function (table) {
    var body = table.tBodies[0];
    var heads = Array.from(table.tHead.rows[0].cells);
    var given = Array.from(body.rows);
    heads.forEach(function (head, column) {
      var button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.textContent = "";
      head.appendChild(button);
      button.addEventListener("click", function () {
        var was = head.getAttribute("aria-sort");
        heads.forEach(function (one) { one.removeAttribute("aria-sort"); });
        var rows = given.slice();
        if (column > 0) {
          // numbers start with the highest, words with the first
          var numeric = given.some(function (row) { return typeof value(row, column) === "number"; });
          var down = was === null ? numeric : was === "ascending";
          rows.sort(function (first, second) {
            var one = value(first, column), two = value(second, column);
            if (one === null || two === null) { return (one === null) - (two === null); }
            return (down ? -1 : 1) * compare(one, two);
          });
          head.setAttribute("aria-sort", down ? "descending" : "ascending");
        } else {
          head.setAttribute("aria-sort", "ascending");
        }
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
    heads[0].setAttribute("aria-sort", "ascending");
  });
})();
