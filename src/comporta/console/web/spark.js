// A small line without axes.
const WIDTH = 120;
const HEIGHT = 30;

export default {
  props: { values: Array, tone: String },
  render() {
    const known = this.values.filter((value) => value !== null);
    if (known.length < 2) return Vue.h("span", { class: "spark", "aria-hidden": "true" });
    const low = Math.min(0, ...known);
    const span = Math.max(...known) - low || 1;
    const step = WIDTH / (this.values.length - 1);
    const points = this.values
      .map((value, i) => (value === null ? null : [i * step, HEIGHT - 2 - ((value - low) / span) * (HEIGHT - 4)]))
      .filter(Boolean);
    const line = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    const area = `${line}L${points.at(-1)[0].toFixed(1)} ${HEIGHT}L${points[0][0].toFixed(1)} ${HEIGHT}Z`;
    return Vue.h(
      "svg",
      { class: `spark tone-${this.tone}`, viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      [Vue.h("path", { class: "spark__area", d: area }), Vue.h("path", { class: "spark__line", d: line })],
    );
  },
};
