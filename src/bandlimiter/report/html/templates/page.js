"use strict";
(() => {
  const night = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");
  const SYMBOLS = {
    circle: "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0Z", square: "M-4,-4H4V4H-4Z",
    diamond: "M0,-5L5,0L0,5L-5,0Z", "triangle-up": "M0,-5L5,4H-5Z",
    cross: "M-5,-2H-2V-5H2V-2H5V2H2V5H-2V2H-5Z", star: "M0,-5L1.5,-1.5L5,-1.5L2,1L3,5L0,2.5L-3,5L-2,1L-5,-1.5L-1.5,-1.5Z",
    x: "M-5,-3L-3,-5L0,-2L3,-5L5,-3L2,0L5,3L3,5L0,2L-3,5L-5,3L-2,0Z", pentagon: "M0,-5L5,-1L3,4H-3L-5,-1Z",
  };
  const DASHES = { solid: "", dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
  let printing = false;

  const theme = () => night.matches && !printing
    ? { key: "dark", ink: "#e6e9ec", grid: "#343b42", box: "#1d2226" }
    : { key: "light", ink: "#1b1f24", grid: "#d9dee3", box: "#ffffff" };

  function traces(curve, colour) {
    const { look } = curve;
    return curve.traces.map((trace) => {
      if (trace.band) {
        const { band, ...rest } = trace;
        return { ...rest, fillcolor: colour + "26", line: { ...trace.line, color: colour } };
      }
      const drawn = {
        ...trace, name: "",
        line: { ...trace.line, color: colour, width: 2, dash: look.dash },
        marker: { color: colour, symbol: look.symbol, size: 8 },
      };
      if (trace.error_y) drawn.error_y = { ...trace.error_y, color: colour, thickness: 1.5, width: 4 };
      return drawn;
    });
  }

  function axis(given, look) {
    return {
      ...given, title: { ...given.title, standoff: 10 }, color: look.ink,
      gridcolor: look.grid, linecolor: look.ink, zeroline: false, ticks: "outside", tickcolor: look.grid,
    };
  }

  function layout(figure, look) {
    const given = figure.layout;
    return {
      ...given,
      xaxis: axis(given.xaxis, look), yaxis: axis(given.yaxis, look),
      shapes: (given.shapes || []).map((shape) => ({ ...shape, line: { color: look.ink, width: 1, dash: "dot" } })),
      annotations: (given.annotations || []).map((note) => ({
        ...note, showarrow: false, xanchor: "center", yanchor: "bottom", font: { size: 11, color: look.ink },
      })),
      margin: { l: 60, r: 16, t: given.annotations ? 28 : 10, b: 50 }, showlegend: false, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif", size: 12, color: look.ink },
      hoverlabel: { bgcolor: look.box, bordercolor: look.ink, font: { color: look.ink }, align: "left" },
      dragmode: coarse.matches ? false : "zoom",
      ...(printing ? { width: 640, height: 300 } : { autosize: true }),
    };
  }

  function draw(plot, figure, hidden) {
    const look = theme();
    const shown = figure.curves.filter((_, i) => !hidden.has(i)).flatMap((curve) => traces(curve, curve.look[look.key]));
    return Plotly.react(plot, shown, layout(figure, look), {
      responsive: true, displaylogo: false, displayModeBar: false,
    });
  }

  function swatch(curve, colour, joined) {
    const make = (name, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
      return made;
    };
    const svg = make("svg", { width: 28, height: 12, viewBox: "-14 -6 28 12", "aria-hidden": "true" });
    const { dash, symbol } = curve.look;
    if (joined) svg.append(make("path", { d: "M-14,0H14", stroke: colour, "stroke-width": 2, "stroke-dasharray": DASHES[dash] }));
    if (curve.traces.some((trace) => (trace.mode || "").includes("markers"))) svg.append(make("path", { d: SYMBOLS[symbol], fill: colour }));
    return svg;
  }

  function legend(box, figure, hidden, redraw) {
    const { key } = theme();
    box.replaceChildren(...figure.curves.map((curve, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-pressed", String(!hidden.has(i)));
      const joined = curve.traces.some((trace) => trace.mode.includes("lines"));
      const name = document.createElement("span");
      name.textContent = curve.name;
      button.append(swatch(curve, curve.look[key], joined), name);
      button.addEventListener("click", () => {
        if (!hidden.delete(i)) hidden.add(i);
        redraw();
        box.children[i].focus();
      });
      return button;
    }));
  }

  const holder = document.getElementById("drawn");
  const figures = holder ? JSON.parse(holder.textContent) : {};
  const redraws = [...document.querySelectorAll(".plot")].map((plot) => {
    const figure = figures[plot.dataset.figure];
    const hidden = new Set();
    const redraw = () => {
      legend(plot.nextElementSibling, figure, hidden, redraw);
      return draw(plot, figure, hidden);
    };
    return redraw;
  });
  const all = () => redraws.forEach((redraw) => redraw());
  all();
  night.addEventListener("change", all);

  const opened = [];
  addEventListener("beforeprint", () => {
    printing = true;
    document.querySelectorAll("details:not([open])").forEach((each) => { each.open = true; opened.push(each); });
    all();
  });
  addEventListener("afterprint", () => {
    printing = false;
    opened.splice(0).forEach((each) => { each.open = false; });
    all();
  });
  if (matchMedia("(max-width: 68rem)").matches) {
    document.querySelectorAll("details.contents").forEach((each) => { each.open = false; });
  }

  document.querySelectorAll("button[data-file]").forEach((button) => button.addEventListener("click", async () => {
    const packed = atob(document.getElementById(button.dataset.file).textContent.trim());
    let blob = new Blob([Uint8Array.from(packed, (letter) => letter.charCodeAt(0))]);
    let { name } = button.dataset;
    if ("DecompressionStream" in window) {
      blob = await new Response(blob.stream().pipeThrough(new DecompressionStream("gzip"))).blob();
    } else {
      name += ".gz";
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }));
})();
