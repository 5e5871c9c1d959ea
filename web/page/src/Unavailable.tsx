/** What stands in the place of a part of the page that can't be shown. */
export function Unavailable() {
  return (
    <p className="uci-hint" role="alert">
      This could not be shown.{" "}
      <button type="button" className="uci-link" onClick={() => location.reload()}>
        Reload the page
      </button>
    </p>
  );
}
