// Draws the charts of the page, shows the picture of whatever is pointed at, and sorts tables.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("ogive-data").textContent);
  const card = document.getElementById("card");
  const chosen = new Map();

  const colour = (text) => {
    // "var(--name)" or, of an area that is seen through, "var(--name)@0.2".
    const name = /^var\((--[\w-]+)\)(?:@([\d.]+))?$/.exec(text);
    if (!name) return text;
    const value = getComputedStyle(document.documentElement).getPropertyValue(name[1]).trim();
    return name[2] ? value + Math.round(255 * name[2]).toString(16).padStart(2, "0") : value;
  };

  // A copy in which every CSS variable has its value; arrays of numbers are kept as they are.
  const resolved = (value) => {
    if (typeof value === "string") return colour(value);
    if (Array.isArray(value)) return typeof value[0] === "number" ? value : value.map(resolved);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolved(inner)]));
  };

  const axis = (own) => ({
    gridcolor: "var(--grid)", zerolinecolor: "var(--grid)", linecolor: "var(--rule)", automargin: true, ...own,
  });

  const layoutOf = (own) => resolved({
    margin: { l: 56, r: 12, t: 8, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", size: 13, color: "var(--ink)" },
    legend: { orientation: "h", x: 0, y: 1.02, xanchor: "left", yanchor: "bottom" },
    hovermode: "closest",
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "var(--soft)", activecolor: "var(--accent)" },
    hoverlabel: { bgcolor: "var(--paper)", bordercolor: "var(--rule)", font: { color: "var(--ink)" } },
    ...own,
    xaxis: axis(own.xaxis),
    yaxis: axis(own.yaxis),
  });

  const draw = (chart) => {
    const place = document.getElementById("chart-" + chart.name);
    const picks = chosen.get(chart.name);
    const view = chart.views[chart.picks.reduce((sum, pick, rank) => sum * pick.options.length + picks[rank], 0)];
    const config = {
      displaylogo: false, responsive: true, modeBarButtons: [["toImage", "resetScale2d"]],
      toImageButtonOptions: { format: "svg", filename: "ogive-" + chart.name },
    };
    return Plotly.react(place, resolved(view.traces), layoutOf(view.layout), config);
  };

  const buttons = (chart) => {
    const holder = document.getElementById("picks-" + chart.name);
    chart.picks.forEach((pick, rank) => {
      if (pick.options.length < 2) return;
      const group = document.createElement("fieldset");
      group.append(Object.assign(document.createElement("legend"), { textContent: pick.label }));
      const made = pick.options.map((option, place) => {
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: option });
        button.addEventListener("click", () => {
          chosen.get(chart.name)[rank] = place;
          made.forEach((other, index) => other.setAttribute("aria-pressed", String(index === place)));
          draw(chart);
        });
        button.setAttribute("aria-pressed", String(place === 0));
        return button;
      });
      group.append(...made);
      holder.append(group);
    });
  };

  // ---- the card with the picture ----

  const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });

  const show = (number, x, y) => {
    const [place, headline, lines] = data.points[number];
    const arch = data.archs[place];
    const picture = document.createElement("div");
    // The pictures are made by ogive itself, with all text escaped.
    if (arch.picture) picture.innerHTML = arch.picture;
    else picture.textContent = "The picture of this candidate does not travel with the page.";
    card.classList.toggle("wide", Number(picture.firstElementChild?.getAttribute("width")) > 620);
    const list = document.createElement("ul");
    list.append(...lines.map((line) => element("li", line)));
    card.replaceChildren(element("div", headline), picture, element("b", arch.text), list);
    card.hidden = false;
    const box = card.getBoundingClientRect();
    const left = x + 18 + box.width > innerWidth ? x - 18 - box.width : x + 18;
    const top = y + 18 + box.height > innerHeight ? innerHeight - box.height - 8 : y + 18;
    card.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
  };

  const hide = () => { card.hidden = true; };

  const pictures = (place) => {
    const point = (event) => {
      const number = event.points[0].customdata;
      if (typeof number === "number") show(number, event.event.clientX, event.event.clientY);
    };
    place.on("plotly_hover", point);
    place.on("plotly_click", point);
    place.on("plotly_unhover", hide);
  };

  const pointed = (target) => {
    const box = target.getBoundingClientRect();
    show(Number(target.dataset.point), box.right, box.top);
  };

  // ---- tables ----

  const sortable = (table) => {
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = element("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
        const compare = (a, b) => {
          const [first, second] = [key(a), key(b)];
          const apart = Number(first) - Number(second);
          return Number.isNaN(apart) ? first.localeCompare(second) : apart;
        };
        const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -compare(a, b) : compare(a, b)));
        table.tBodies[0].append(...rows);
      });
    });
  };

  // ---- all together ----

  const drawAll = () => Promise.all(data.charts.map(draw));
  data.charts.forEach((chart) => { chosen.set(chart.name, chart.picks.map(() => 0)); buttons(chart); });
  drawAll().then(() => {
    data.charts.forEach((chart) => pictures(document.getElementById("chart-" + chart.name)));
    document.documentElement.dataset.ready = "true";
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  document.querySelectorAll("[data-point]").forEach((target) => {
    target.addEventListener("mouseenter", () => pointed(target));
    target.addEventListener("focus", () => pointed(target));
    target.addEventListener("mouseleave", hide);
    target.addEventListener("blur", hide);
  });
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  document.addEventListener("scroll", hide, { passive: true });
})();
