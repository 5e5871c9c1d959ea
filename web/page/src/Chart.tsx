/** Bars over time, and the same as a table for those who don't see them. */

import { useEffect, useRef, useSyncExternalStore } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Series {
  label: string;
  values: number[];
  /** The custom property that has the colour. */
  color: string;
}

interface ChartProps {
  label: string;
  days: string[];
  series: Series[];
}

const HEIGHT = 220;

export function Chart({ label, days, series }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const theme = useTheme();
  useEffect(() => {
    const element = frame.current;
    if (!element) return;
    const chart = new uPlot(options(element, days, series), dataOf(days, series), element);
    const resized = new ResizeObserver(() =>
      chart.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    resized.observe(element);
    return () => {
      resized.disconnect();
      chart.destroy();
    };
  }, [days, series, theme]);
  return (
    <figure className="chart">
      <div ref={frame} aria-hidden="true" />
      <table className="uci-visually-hidden">
        <caption>{label}</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            {series.map((each) => (
              <th key={each.label} scope="col">
                {each.label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {days.map((day, index) => (
            <tr key={day}>
              <th scope="row">{new Date(day).toLocaleDateString()}</th>
              {series.map((each) => (
                <td key={each.label}>{each.values[index]}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </figure>
  );
}

/** The theme that is shown: a canvas has to be painted again when it changes. */
function useTheme(): string {
  return useSyncExternalStore(onThemeChange, () => {
    const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
    return `${document.documentElement.dataset.theme} ${isDark}`;
  });
}

function onThemeChange(changed: () => void): () => void {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const chosen = new MutationObserver(changed);
  system.addEventListener("change", changed);
  chosen.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return () => {
    system.removeEventListener("change", changed);
    chosen.disconnect();
  };
}

/** Bars on top of each other: the later series stands on the ones before it. */
function dataOf(days: string[], series: Series[]): uPlot.AlignedData {
  const times = days.map((day) => Date.parse(day) / 1000);
  const sums = series.map((_, last) =>
    days.map((_, index) =>
      series.slice(0, last + 1).reduce((sum, each) => sum + (each.values[index] ?? 0), 0),
    ),
  );
  return [times, ...sums.toReversed()];
}

function options(element: HTMLElement, days: string[], series: Series[]): uPlot.Options {
  const styles = getComputedStyle(element);
  const color = (name: string) => resolved(element, name);
  const bars = uPlot.paths.bars?.({ size: [0.7, 40], radius: 0.15 });
  const half = (Date.parse(days[1] ?? "") - Date.parse(days[0] ?? "")) / 2000 || 43_200;
  const axis = {
    stroke: color("--uci-soft"),
    font: `12px ${styles.fontFamily}`,
    grid: { stroke: color("--uci-line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: true, live: false },
    // Room for half a bar at each end.
    scales: {
      x: { range: (_, first, last) => [first - half, last + half] },
      y: { range: (_, __, most) => [0, Math.max(most, 1) * 1.1] },
    },
    axes: [
      { ...axis, grid: { show: false }, gap: 10, size: 56 },
      { ...axis, size: 40, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000] },
    ],
    series: [
      {},
      ...series.toReversed().map((each) => ({
        label: each.label,
        fill: color(each.color),
        stroke: color(each.color),
        width: 0,
        points: { show: false },
        paths: bars,
      })),
    ],
  };
}

/** A canvas knows no light-dark(): the colour as it is right now. */
function resolved(element: HTMLElement, name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
