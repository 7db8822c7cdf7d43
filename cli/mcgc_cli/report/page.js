"use strict";
// Each chart has the JSON of one figure, or of several that a list chooses from.
const WIDTH = 640, HEIGHT = 700; // pixels, of a chart on paper
const HOW = {
  responsive: true,
  displaylogo: false,
  showSendToCloud: false,
  modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
};
const places = [];
for (const chart of document.querySelectorAll(".chart")) {
  const figures = JSON.parse(chart.querySelector("script").textContent);
  const place = chart.querySelector(".plot");
  const list = chart.querySelector("select");
  const draw = () => {
    const figure = figures[list ? list.selectedIndex : 0];
    return Plotly.react(place, figure.data, figure.layout, HOW);
  };
  if (list) list.addEventListener("change", draw);
  draw();
  places.push(place);
}
window.addEventListener("beforeprint", () => {
  for (const place of places) {
    place.dataset.height = place.layout.height;
    Plotly.relayout(place, { width: WIDTH, height: Math.min(place.layout.height, HEIGHT) });
  }
});
window.addEventListener("afterprint", () => {
  for (const place of places) {
    Plotly.relayout(place, { width: null, height: Number(place.dataset.height), autosize: true });
  }
});
