"""The package as others get it: what is in it, and what an app of Vite's template makes of it."""

import json
import re
import tarfile
from pathlib import Path

import pytest

from local.node import run_npm
from tests.support.packed import NAME, PEERS, App, app_with_package, packed, readme_files
from tests.support.stack import shared_among_workers

pytestmark = pytest.mark.timeout(300)

ENTRIES = ["", "/core", "/hook", "/components"]
BUILD_TOOLS = {"vite", "vitest", "typescript", "prettier", "@vitejs/plugin-react"}
LIMITS = {  # bytes, gzipped, beside the peers
    "export { useUniversalAIChat } from '%s'": 4_000,
    "export { ChatProvider, useUniversalAIChat } from '%s/hook'": 14_000,
    "export { ChatProvider, useUniversalAIChat } from '%s'": 14_000,
    "export { ChatClient } from '%s/core'": 12_000,
}
MEASURE = """
import { build } from "vite";
import { gzipSync } from "node:zlib";

async function sizeOf(code) {
  const source = {
    name: "source",
    resolveId: (id) => (id === "source" ? id : null),
    load: (id) => (id === "source" ? code : null),
  };
  const { output } = await build({
    configFile: false,
    logLevel: "error",
    plugins: [source],
    build: {
      write: false,
      rolldownOptions: {
        input: "source",
        preserveEntrySignatures: "strict",
        external: [/^react(-dom)?($|\\/)/, /^@supabase\\/supabase-js/],
      },
    },
  });
  return gzipSync(output[0].code).length;
}

const sizes = [];
for (const code of process.argv.slice(2)) sizes.push(await sizeOf(code));
console.log(JSON.stringify(sizes));
"""
ON_A_SERVER = """
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { createClient } from "@supabase/supabase-js";

const entries = await Promise.all(process.argv.slice(2).map((entry) => import(entry)));
const { ChatProvider, UniversalChatInterface } = entries[0];
const supabase = createClient("http://stack.test", "key", { auth: { persistSession: false } });
const chat = createElement(UniversalChatInterface);
console.log(renderToString(createElement(ChatProvider, { supabase }, chat)));
process.exit();
"""

AS_NODE = """
import { type UniversalAIChatOptions, type UniversalChatInterfaceProps } from "%(name)s";
import { type UniversalChatInterfaceProps as Props } from "%(name)s/components";
import { type ChatClient } from "%(name)s/core";
import { type ChatProviderProps, useUniversalAIChat } from "%(name)s/hook";
import { createClient } from "@supabase/supabase-js";

interface Own {
  chat: {
    Tables: { notes: { Row: { id: string }; Insert: {}; Update: {}; Relationships: [] } };
    Views: {};
    Functions: {};
  };
}
export const supabase: ChatProviderProps["supabase"] =
  createClient<Own, "chat">("http://stack.test", "key", { db: { schema: "chat" } });

export const right: UniversalChatInterfaceProps & UniversalAIChatOptions = { projectId: "1" };
// @ts-expect-error
export const wrong: UniversalChatInterfaceProps = { projectId: 1 };
// @ts-expect-error
export const alsoWrong: Props = { projectId: 1 };
// @ts-expect-error
useUniversalAIChat({ projectId: 1 });
// @ts-expect-error
export const ofNobody = (client: ChatClient) => client.nothing;
"""


EVERY_ENTRY = """
import * as all from "%(name)s";
import * as components from "%(name)s/components";
import * as core from "%(name)s/core";
import * as hook from "%(name)s/hook";
import { type LoadedChat, PersistedChatTransport } from "%(name)s/transport";
import type { ChatTransport, UIMessage } from "ai";

export const entries = [all, components, core, hook];
type Mine = UIMessage<{ seq: number }>;
const persisted = new PersistedChatTransport<Mine>({ url: "", userId: "", headers: () => ({}) });
export const transport: ChatTransport<Mine> = persisted;
export const loaded: Promise<LoadedChat<Mine>> = persisted.load("1");
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of this test run."""
    return shared_among_workers(tmp_path_factory)


@pytest.fixture(scope="module")
def app(shared: Path) -> App:
    """An app with the newest peers."""
    return app_with_package(shared, "newest")


def test_it_holds_what_was_built_and_nothing_else(shared: Path) -> None:
    """Scripts with their types, styles with their fonts, licence and README; no build tool."""
    with tarfile.open(packed(shared)) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
        package = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
    top = {name.split("/")[0] for name in names}
    assert top == {"package.json", "README.md", "LICENSE", "dist"}
    scripts = {name for name in names if name.endswith(".js")}
    assert {name.replace(".js", ".d.ts") for name in scripts} <= names
    assert "dist/styles.css" in names
    peers = set(package["peerDependencies"]) - set(package.get("peerDependenciesMeta", {}))
    assert peers == {"react", "react-dom", "@supabase/supabase-js"}  # "ai" is for those who use it
    assert not set(package["dependencies"]) & (BUILD_TOOLS | set(package["peerDependencies"]))


def test_it_can_be_published(shared: Path) -> None:
    """npm finds nothing that is in the way."""
    run_npm(shared, "publish", "--dry-run", "--ignore-scripts", str(packed(shared)))


@pytest.mark.parametrize("peers", PEERS)
def test_vites_template_takes_it(shared: Path, peers: str) -> None:
    """The README's files pass its strict types and its build; there is one of each peer."""
    app = app_with_package(shared, peers)
    for path, text in readme_files().items():
        app.write(path, text)
    app.run("typescript/bin/tsc", "-b")
    warnings = [line for line in app.build().splitlines() if "warn" in line.lower()]
    assert [line for line in warnings if "chunkSizeWarningLimit" not in line] == []
    for peer in ("react", "react-dom", "@supabase/supabase-js"):
        found = (app.folder / "node_modules").rglob(f"node_modules/{peer}/package.json")
        assert list(found) == []
        assert (app.folder / "node_modules" / peer / "package.json").exists()


def test_its_types_can_be_read_as_node_reads_them(app: App) -> None:
    """Each entry, without the leniency of bundlers; what isn't right is an error."""
    app.write("as-node/index.ts", AS_NODE % {"name": NAME})
    options = ["--module", "nodenext", "--target", "es2023", "--types", "", "--skipLibCheck"]
    app.run("typescript/bin/tsc", "--ignoreConfig", "--noEmit", *options, "as-node/index.ts")


@pytest.mark.parametrize(("resolution", "peers"), [("bundler", "newest"), ("node16", "oldest")])
def test_its_types_hold_where_each_declaration_is_checked(
    shared: Path, resolution: str, peers: str
) -> None:
    """Without `skipLibCheck`: in packages of others something is wrong, in this one nothing is."""
    app = app_with_package(shared, peers)
    app.write("strict/index.ts", EVERY_ENTRY % {"name": NAME})
    module = "esnext" if resolution == "bundler" else resolution
    found = app.run(
        "typescript/bin/tsc", "--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "false",
        "--module", module, "--moduleResolution", resolution, "--target", "es2023",
        "--lib", "ES2023,DOM", "--types", "", "strict/index.ts",
        may_fail=True,
    )  # fmt: skip
    errors = [line for line in found.splitlines() if re.match(r"\S+\(\d+,\d+\): error", line)]
    assert [line for line in errors if NAME in line or line.startswith("strict/")] == []


def test_it_can_be_imported_and_rendered_on_a_server(app: App) -> None:
    """Nothing asks for a window before the page runs."""
    app.write("server.mjs", ON_A_SERVER)
    shown = app.run("server.mjs", *(NAME + entry for entry in ENTRIES))
    assert "uci" in shown


def test_an_app_pays_for_what_it_uses(app: App) -> None:
    """The hook alone is a few kilobytes, whichever entry it is taken from."""
    app.write("measure.mjs", MEASURE)
    sizes = json.loads(app.run("measure.mjs", *(code % NAME for code in LIMITS)))
    above = [code for code, size in zip(LIMITS, sizes, strict=True) if size >= LIMITS[code]]
    assert above == [], sizes
