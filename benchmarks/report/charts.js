// Draws every chart of the page with Vega-Embed, in the page's own colours, once its card has a width.
const text = {labelColor: "var(--ink)", titleColor: "var(--muted)", labelFontSize: 12, titleFontSize: 12,
              titleFontWeight: 500, labelFont: "inherit", titleFont: "inherit"};
const config = {background: "transparent", font: "system-ui, sans-serif", view: {stroke: null},
  axis: {...text, gridColor: "var(--grid)", domainColor: "var(--line)", tickColor: "var(--line)", labelLimit: 150,
         labelOverlap: "greedy", labelSeparation: 5, labelFlush: false},
  legend: {...text, symbolType: "circle", symbolOpacity: 1}};
for (const figure of document.querySelectorAll("figure:has(.spec)")) {
  const spec = JSON.parse(figure.querySelector(".spec").textContent);
  const chart = figure.querySelector(".chart");
  if (figure.classList.contains("square")) spec.height = Math.min(chart.clientWidth - 40, spec.height);
  const size = {width: "container", autosize: {type: "fit-x", contains: "padding"}};
  await vegaEmbed(chart, {...size, ...spec, config},
                  {renderer: "svg", actions: false, tooltip: {theme: "custom"}});
}
// Tests and printers wait for this.
document.body.dataset.drawn = "yes";
