/** Text that can't be laid out, such as quotes in ten thousand quotes, is shown as it stands. */

import { Component, type ReactNode } from "react";
import { LongText } from "./LongText";

interface AsPlainTextProps {
  text: string;
  children: ReactNode;
}

export class AsPlainText extends Component<AsPlainTextProps, { failed: string | null }> {
  state = { failed: null };

  static getDerivedStateFromError() {
    return { failed: "" };
  }

  render() {
    if (this.state.failed === null) return this.props.children;
    return <LongText text={this.props.text} />;
  }
}
