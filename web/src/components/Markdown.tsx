/** Markdown from a model: all of it seen, without images from elsewhere, with copyable code. */

import type { Element, Root } from "hast";
import { memo } from "react";
import ReactMarkdown, { type Components, type Options } from "react-markdown";
import remarkCjkFriendly from "remark-cjk-friendly";
import remarkCjkStrikethrough from "remark-cjk-friendly-gfm-strikethrough";
import remarkGfm from "remark-gfm";
import type { Processor } from "unified";
import { CodeBlock } from "./CodeBlock.js";
import { ErrorBoundary } from "./ErrorBoundary.js";
import { Formula } from "./Formula.js";
import { LongText } from "./LongText.js";
import { isWithinLimits } from "./markdownLimits.js";
import { formulaOf, MATH, mathFromMarkdown, mathSyntax, withMathFences } from "./mathSyntax.js";
import { SAFE, visibleSource } from "./visibleSource.js";
import { useTexts } from "./texts.js";

const components: Components = {
  a({ href, title, children }) {
    if (!href || !SAFE.test(href)) return <span>{children}</span>;
    return (
      <a href={href} title={title} target="_blank" rel="noopener noreferrer nofollow">
        {children}
      </a>
    );
  },
  // An image would say to its host who reads this, and when.
  img: function Picture({ src, alt, title }) {
    const texts = useTexts();
    const address = typeof src === "string" && SAFE.test(src) ? src : null;
    if (!address) return <span>[image: {alt}]</span>;
    return (
      <a href={address} title={title} target="_blank" rel="noopener noreferrer nofollow">
        {texts.image(alt || address)}
      </a>
    );
  },
  pre({ node }) {
    const code = node?.children.find((child) => child.type === "element");
    if (!code) return null;
    const text = textOf(code).replace(/\n$/, "");
    const language = languageOf(code);
    if (language === "math") return <Formula source={text} formula={text} isBlock />;
    return <CodeBlock code={text} language={language} info={code.data?.meta ?? undefined} />;
  },
  code({ node, className, children }) {
    if (!node || !className?.startsWith(MATH)) return <code>{children}</code>;
    const source = textOf(node);
    const isBlock = className.endsWith("block");
    return <Formula source={source} formula={formulaOf(source)} isBlock={isBlock} />;
  },
  table: function Table({ children }) {
    const texts = useTexts();
    return (
      <section className="uci-table" tabIndex={0} aria-label={texts.table}>
        <table>{children}</table>
      </section>
    );
  },
};

function textOf({ children }: Element): string {
  return children.map((child) => (child.type === "text" ? child.value : "")).join("");
}

function languageOf({ properties }: Element): string {
  const names = (properties.className ?? []) as string[];
  return names.find((name) => name.startsWith("language-"))?.slice("language-".length) ?? "";
}

/** Reads mathematics, and tags as the text that they are. */
function ownSyntax(this: Processor): void {
  const data = this.data() as { [name: string]: unknown[] | undefined };
  (data.micromarkExtensions ??= []).push(mathSyntax, { disable: { null: ["htmlFlow"] } });
  (data.fromMarkdownExtensions ??= []).push(mathFromMarkdown);
}

/** Several messages stand in one document: none of them names its parts. */
function withoutIds() {
  return (tree: Root): void => {
    const walk = (node: Root | Element) => {
      if (node.type === "element") delete node.properties.id;
      for (const child of node.children) if (child.type === "element") walk(child);
    };
    walk(tree);
  };
}

const REMARK = [
  [remarkGfm, { singleTilde: false }],
  remarkCjkFriendly,
  [remarkCjkStrikethrough, { singleTilde: false }],
  ownSyntax,
  visibleSource,
] as Options["remarkPlugins"];

const REHYPE = { footnoteLabelProperties: { className: ["uci-visually-hidden"] } };

export const Markdown = memo(function Markdown({ text }: { text: string }) {
  const source = withMathFences(text);
  if (!isWithinLimits(source)) return <LongText text={text} />;
  return (
    <ErrorBoundary fallback={<LongText text={text} />}>
      <div className="uci-markdown">
        <ReactMarkdown
          remarkPlugins={REMARK}
          remarkRehypeOptions={REHYPE}
          rehypePlugins={[withoutIds]}
          components={components}
        >
          {source}
        </ReactMarkdown>
      </div>
    </ErrorBoundary>
  );
});
