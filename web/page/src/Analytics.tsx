/** A user's own figures: what was asked, how it went, and how well it was kept. Loaded when asked for. */

import type { Analytics as AnalyticsResponse, ChatClient, Figures } from "message-persistence-web";
import { useState } from "react";
import { Chart } from "./Chart";
import "../styles/analytics.css";
import { useAnalytics } from "./queries";
import { useTitle } from "./title";

const RANGES = [7, 30, 90, 365];

export default function Analytics({ client }: { client: ChatClient }) {
  const [days, setDays] = useState(30);
  useTitle("Analytics");
  const { data, error, reload, isBusy } = useAnalytics(client, days);
  return (
    <div className="analytics" aria-busy={isBusy}>
      <header className="chat-header">
        <h1>Analytics</h1>
        <select
          aria-label="Range"
          value={days}
          onChange={(event) => setDays(Number(event.target.value))}
        >
          {RANGES.map((range) => (
            <option key={range} value={range}>
              {range === 365 ? "A year" : `${range} days`}
            </option>
          ))}
        </select>
      </header>
      <section className="analytics-body" tabIndex={0} aria-label="Figures">
        {error && (
          <p className="uci-notice uci-notice-bad" role="alert">
            {error.message}{" "}
            <button type="button" className="uci-link" onClick={() => reload()}>
              Try again
            </button>
          </p>
        )}
        {data && data.totals.turns === 0 && (
          <p className="uci-hint">Nothing happened in this time.</p>
        )}
        {data && data.totals.turns > 0 && <FigureSheet response={data} />}
        {!data && !error && (
          <p className="uci-hint" role="status">
            Counting
          </p>
        )}
      </section>
    </div>
  );
}

function FigureSheet({ response }: { response: AnalyticsResponse }) {
  const { totals, buckets } = response;
  return (
    <>
      <dl className="figures">
        {figuresOf(totals).map(([name, value, note]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd data-is={/\d/.test(value) ? "number" : "word"}>{value}</dd>
            {note && <dd className="note">{note}</dd>}
          </div>
        ))}
      </dl>
      <h2>Turns</h2>
      <Chart
        label="Turns over time"
        days={buckets.map((bucket) => bucket.start)}
        series={[
          {
            label: "completed",
            values: buckets.map((each) => each.completed),
            color: "--uci-green",
          },
          {
            label: "not completed",
            values: buckets.map((each) => each.failed + each.cancelled + each.interrupted),
            color: "--uci-red",
          },
        ]}
      />
      <div className="shares">
        <Shares title="Intents" rows={response.intents} />
        <Shares title="Complexity" rows={response.complexities} />
        <Shares title="Strategies" rows={response.strategies} />
      </div>
    </>
  );
}

function figuresOf(totals: Figures): [string, string, string?][] {
  const { duration, persistence, usage } = totals;
  return [
    ["Turns", count(totals.turns), `files written: ${count(totals.filesGenerated)}`],
    ["Success", totals.successRate === null ? "none yet" : percent(totals.successRate)],
    ["Median reply", seconds(duration.median), `95 % in ${seconds(duration.p95)}`],
    ["Tokens", usage.turns ? count(usage.inputTokens + usage.outputTokens) : "not counted"],
    ["Saved after", seconds(persistence.timeToFirstPersist.median)],
    [
      "Repeats absorbed",
      count(persistence.replaysDeduplicated),
      `${count(persistence.recovered)} recovered, ${count(totals.interrupted)} interrupted`,
    ],
  ];
}

function Shares({ title, rows }: { title: string; rows: { name: string; turns: number }[] }) {
  const most = Math.max(...rows.map((row) => row.turns), 1);
  return (
    <section>
      <h2>{title}</h2>
      <ul>
        {rows.slice(0, 6).map((row) => (
          <li key={row.name}>
            <span>{row.name}</span>
            <meter min={0} max={most} value={row.turns} aria-label={row.name} />
            <span>{count(row.turns)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

const count = (value: number) => value.toLocaleString();
const percent = (value: number) =>
  value.toLocaleString(undefined, { style: "percent", maximumFractionDigits: 1 });

function seconds(value: number | null): string {
  if (value === null) return "none yet";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return `${value.toLocaleString(undefined, { maximumFractionDigits: 1 })} s`;
}
