// Moments in the reader's own time zone and language.
const UNITS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

export const locale = () => document.documentElement.lang || "en-US";

export function ago(at_s) {
  const gone = at_s - Date.now() / 1000;
  const [unit, length] = UNITS.find(([, s]) => Math.abs(gone) >= s) || UNITS[3];
  return new Intl.RelativeTimeFormat(locale(), { numeric: "auto", style: "short" }).format(
    Math.round(gone / length),
    unit,
  );
}

export function written(at_s, mode) {
  if (mode === "ago" && Date.now() / 1000 - at_s < 86400 * 2) return ago(at_s);
  const day = { year: "numeric", month: "short", day: "numeric" };
  const time = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
  const short = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
  const chosen = { time, day, full: { ...day, ...time }, ago: short, moment: { ...short, second: "2-digit" } }[mode];
  return new Intl.DateTimeFormat(locale(), { ...chosen, hour12: false }).format(new Date(at_s * 1000));
}

