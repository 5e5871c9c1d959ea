/** A part of the page that can't be shown, such as one that does not load, leaves the rest as it is. */

import { Component, type ReactNode } from "react";

export class OrElse extends Component<{ children: ReactNode }, { hasFailed: boolean }> {
  state = { hasFailed: false };

  static getDerivedStateFromError() {
    return { hasFailed: true };
  }

  render() {
    if (!this.state.hasFailed) return this.props.children;
    return (
      <p className="hint" role="alert">
        This could not be shown.{" "}
        <button type="button" className="link" onClick={() => location.reload()}>
          Reload the page
        </button>
      </p>
    );
  }
}
