/** Markdown from a model: sanitised, without images from elsewhere, with copyable code. */

import { memo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize, { defaultSchema } from "rehype-sanitize";
import remarkGfm from "remark-gfm";
import { CodeBlock } from "./CodeBlock";
import { ErrorBoundary } from "./ErrorBoundary";
import { LongText } from "./LongText";
import { isWithinLimits } from "./markdownLimits";

const SAFE = /^(https?:|mailto:)/i;

// The language of a fence is a class, and its path stands behind it: both are kept.
const schema = {
  ...defaultSchema,
  attributes: {
    ...defaultSchema.attributes,
    code: [...(defaultSchema.attributes?.code ?? []), ["className", /^language-./]],
  },
};

const components: Components = {
  a({ href, children }) {
    if (!href || !SAFE.test(href)) return <span>{children}</span>;
    return (
      <a href={href} target="_blank" rel="noopener noreferrer nofollow">
        {children}
      </a>
    );
  },
  // An image would tell its host who reads this, and when.
  img({ src, alt }) {
    const address = typeof src === "string" && SAFE.test(src) ? src : null;
    if (!address) return <span>{alt || "Image"}</span>;
    return (
      <a href={address} target="_blank" rel="noopener noreferrer nofollow">
        Image: {alt || address}
      </a>
    );
  },
  pre({ node }) {
    const code = node?.children.find((child) => child.type === "element");
    if (!code) return null;
    const text = code.children.map((child) => (child.type === "text" ? child.value : "")).join("");
    return (
      <CodeBlock code={text.replace(/\n$/, "")} language={languageOf(code)} path={pathOf(code)} />
    );
  },
  table({ children }) {
    return (
      <section className="table" tabIndex={0} aria-label="Table">
        <table>{children}</table>
      </section>
    );
  },
};

type Element = { properties?: Record<string, unknown>; data?: { meta?: string | null } };

function languageOf({ properties }: Element): string {
  const names = (properties?.className ?? []) as string[];
  return names.find((name) => name.startsWith("language-"))?.slice("language-".length) ?? "";
}

function pathOf({ data }: Element): string | undefined {
  return data?.meta?.match(/path=(\S+)/)?.[1];
}

export const Markdown = memo(function Markdown({ text }: { text: string }) {
  if (!isWithinLimits(text)) return <LongText text={text} />;
  return (
    <ErrorBoundary fallback={<LongText text={text} />}>
      <div className="markdown">
        <ReactMarkdown
          remarkPlugins={[remarkGfm]}
          rehypePlugins={[[rehypeSanitize, schema]]}
          components={components}
        >
          {text}
        </ReactMarkdown>
      </div>
    </ErrorBoundary>
  );
});
