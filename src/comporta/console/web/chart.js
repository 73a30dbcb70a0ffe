// Values over time, drawn by ECharts in our own colours, which change with light and dark.
import { echarts } from "nicegui-echart";

const PALETTE = ["accent", "amber", "violet", "rose", "sky", "olive", "slate", "plum"];
const GROUP = "comporta";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const clear = (hex, share) => `${hex}${Math.round(share * 255).toString(16).padStart(2, "0")}`;

function writer(unit, locale) {
  const plain = (digits) => new Intl.NumberFormat(locale, { maximumFractionDigits: digits });
  const short = new Intl.NumberFormat(locale, { notation: "compact", maximumFractionDigits: 1 });
  const money = (usd) => `$${plain(usd !== 0 && Math.abs(usd) < 0.01 ? 6 : 2).format(usd)}`;
  const seconds = (s) => (s < 1 ? `${plain(s < 0.01 ? 1 : 0).format(s * 1000)} ms` : s < 120 ? `${plain(2).format(s)} s` : `${plain(1).format(s / 60)} min`);
  const size = (b) => (b >= 1e9 ? `${plain(1).format(b / 1e9)} GB` : b >= 1e6 ? `${plain(1).format(b / 1e6)} MB` : `${plain(1).format(b / 1e3)} kB`);
  return {
    number: (value) => (Math.abs(value) >= 10000 ? short.format(value) : plain(2).format(value)),
    money: (value) => money(value / 1e6),
    seconds,
    share: (value) => `${plain(1).format(value * 100)}%`,
    bytes: size,
  }[unit];
}

export default {
  props: {
    label: String, times: Array, lines: Array, marks: Array, unit: String, stack: Boolean, height: Number,
    legend: Boolean, locale: String,
  },
  mounted() {
    this.draw = this.draw.bind(this);
    this.watcher = new ResizeObserver(() => this.chart?.resize());
    // Drawn when it comes near: a page of many charts stands as soon as one of a few.
    this.near = new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.begin(), { rootMargin: "300px" });
    this.near.observe(this.$refs.plot);
    window.addEventListener("comporta-theme", this.draw);
  },
  beforeUnmount() {
    window.removeEventListener("comporta-theme", this.draw);
    this.near.disconnect();
    this.watcher.disconnect();
    this.chart?.dispose();
  },
  watch: {
    times: { deep: true, handler() { this.draw(); } },
    lines: { deep: true, handler() { this.draw(); } },
    marks: { deep: true, handler() { this.draw(); } },
  },
  methods: {
    begin() {
      this.near.disconnect();
      // After the page itself has been painted.
      requestAnimationFrame(() => {
        if (!this.$refs.plot) return;
        this.chart = echarts.init(this.$refs.plot, null, { renderer: "canvas" });
        this.chart.group = GROUP;
        echarts.connect(GROUP);
        this.watcher.observe(this.$refs.plot);
        this.draw();
      });
    },
    draw() {
      this.chart?.setOption(this.options(), { notMerge: true });
    },
    shade(line, i) {
      return colour(line.tone || PALETTE[i % PALETTE.length]);
    },
    series(line, i) {
      const tone = this.shade(line, i);
      const before = line.kind === "before";
      const made = {
        name: line.name, type: line.kind === "bar" ? "bar" : "line", data: this.times.map((t, n) => [t * 1000, line.values[n]]),
        showSymbol: true, symbol: "circle", symbolSize: (_, at) => (this.alone(line.values, at.dataIndex) ? 4 : 0), smooth: 0.15, itemStyle: { color: tone }, emphasis: { disabled: true },
        stack: this.stack && !before ? "all" : undefined, barMaxWidth: 18, z: before ? 1 : 2,
        lineStyle: { width: before ? 1.25 : 1.75, type: before ? [3, 4] : "solid", color: tone },
      };
      if (line.kind === "area") made.areaStyle = { color: clear(tone, this.stack ? 0.35 : 0.12) };
      if (line.kind === "bar") made.itemStyle.borderRadius = this.stack ? 0 : [2, 2, 0, 0];
      return made;
    },
    marked() {
      if (!this.marks?.length) return [];
      const data = this.marks.map((mark) => ({
        xAxis: mark.at * 1000, name: mark.text,
        lineStyle: { color: colour(mark.tone || "info"), width: 1, type: "solid" },
        label: { show: false },
      }));
      return [{ name: "", type: "line", data: [], silent: true, markLine: { symbol: ["none", "circle"], symbolSize: 5, animation: false, data } }];
    },
    options() {
      const [ink, faint, surface] = [colour("muted"), colour("line"), colour("surface")];
      const say = writer(this.unit, this.locale);
      const text = { color: ink, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 };
      return {
        animation: false, textStyle: text, useUTC: false,
        grid: { left: 8, right: 12, top: this.legend ? 34 : 14, bottom: 4, containLabel: true },
        legend: this.legend
          ? { top: 0, left: 0, icon: "roundRect", itemWidth: 10, itemHeight: 3, textStyle: text, inactiveColor: faint, type: "scroll", data: this.lines.map((l) => l.name), pageTextStyle: text, pageIconColor: ink }
          : { show: false },
        tooltip: {
          trigger: "axis", confine: true, renderMode: "richText", backgroundColor: surface, borderColor: faint, padding: 10,
          textStyle: { ...text, color: colour("ink"), fontSize: 12 }, axisPointer: { lineStyle: { color: faint } },
          formatter: (points) => this.tip(points, say),
        },
        xAxis: {
          type: "time", axisLine: { lineStyle: { color: faint } }, axisTick: { show: false }, splitLine: { show: false },
          axisLabel: { ...text, hideOverlap: true }, min: this.times[0] * 1000, max: this.times.at(-1) * 1000,
        },
        yAxis: {
          type: "value", splitNumber: 3, min: (range) => Math.min(0, range.min), ...this.bounded(),
          axisLabel: { ...text, formatter: say }, splitLine: { lineStyle: { color: faint } }, minInterval: this.unit === "number" ? 1 : 0,
        },
        series: [...this.lines.map((line, i) => this.series(line, i)), ...this.marked()],
      };
    },
    // Shares go to 100 % where they come near it, and never above.
    bounded() {
      if (this.unit !== "share" || this.stack) return {};
      const most = Math.max(0, ...this.lines.flatMap((line) => line.values.filter((value) => value !== null)));
      return most > 0.7 ? { max: 1, interval: 0.25 } : {};
    },
    // A value between two gaps has no line to show it.
    alone(values, n) {
      const known = (at) => values[at] !== null && values[at] !== undefined;
      return known(n) && !known(n - 1) && !known(n + 1);
    },
    tip(points, say) {
      if (!points.length) return "";
      const at = points[0].value[0];
      const when = new Intl.DateTimeFormat(this.locale, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });
      const near = this.marks?.filter((mark) => Math.abs(mark.at * 1000 - at) <= this.step()) || [];
      return [
        when.format(new Date(at)),
        ...points.filter((p) => p.value[1] !== null && p.value[1] !== undefined).map((p) => `${p.seriesName}  ${say(p.value[1])}`),
        ...near.map((mark) => `• ${mark.text}`),
      ].join("\n");
    },
    step() {
      return this.times.length > 1 ? (this.times[1] - this.times[0]) * 1000 : 60000;
    },
    spoken() {
      const say = writer(this.unit, this.locale);
      const last = this.lines.map((line) => {
        const value = [...line.values].reverse().find((one) => one !== null && one !== undefined);
        return value === undefined ? null : `${line.name} ${say(value)}`;
      });
      return `${this.label}: ${last.filter(Boolean).join(", ")}`;
    },
  },
  render() {
    return Vue.h("figure", { class: "chart", role: "img", "aria-label": this.spoken() }, [
      Vue.h("div", { ref: "plot", class: "chart__plot", style: { height: `${this.height}px` } }),
    ]);
  },
};
