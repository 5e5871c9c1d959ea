"""The package of `web/` as others get it: packed, and installed into an app of Vite's template."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from local.node import NODE, install_packages, run_npm
from local.page import WEB

NAME = "message-persistence-web"
TEMPLATE = "create-vite@9.3.0"
# What an app brings beside the template: the newest peers, or the oldest that the package takes.
PEERS = {
    "newest": ["@supabase/supabase-js", "ai"],
    "oldest": [
        "@supabase/supabase-js@2.90.0",
        "ai@7.0.135",
        *(f"{name}@18" for name in ("react", "react-dom", "@types/react", "@types/react-dom")),
    ],
}


@dataclass(frozen=True)
class App:
    """Somebody's app with the package in it."""

    folder: Path

    def run(self, script: str, *arguments: str, may_fail: bool = False) -> str:
        """Run a script of the app's packages, or of its own; return what it wrote."""
        installed = self.folder / "node_modules" / script
        done = subprocess.run(
            [str(NODE), str(installed if installed.exists() else script), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert may_fail or done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return done.stdout + done.stderr

    def write(self, path: str, text: str) -> None:
        """Write one of its files."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def build(self, *arguments: str) -> str:
        """Build it with Vite; return what that has to say."""
        return self.run("vite/bin/vite.js", "build", *arguments)


def packed(shared: Path) -> Path:
    """Pack the package; once for all who have this folder in common."""
    archive = shared / f"{NAME}-{VERSION}.tgz"
    with FileLock(WEB / ".build.lock"):
        if not archive.exists():
            install_packages(WEB, "ci")
            run_npm(WEB, "pack", "--pack-destination", str(shared))
    return archive


def built_transport(shared: Path) -> Path:
    """Return the entry for the AI SDK, built."""
    packed(shared)
    return WEB / "dist" / "transport" / "index.js"


def app_with_package(shared: Path, peers: str) -> App:
    """Make an empty app with the package in it; once for all who have this folder in common."""
    archive = packed(shared)
    apps = {age: shared / f"app with the {age} peers" for age in PEERS}
    newest, oldest = apps["newest"], apps["oldest"]
    with FileLock(shared / "apps.lock"):
        if not oldest.exists():
            template = ["--template", "react-ts", "--no-interactive"]
            run_npm(shared, "exec", "--yes", TEMPLATE, "--", newest.name, *template)
            run_npm(newest, "install", "--prefer-offline", str(archive), *PEERS["newest"])
            # To install everything again takes longer than to exchange some of it.
            copy = shutil.copytree(newest, shared / "copy of the app", symlinks=True)
            run_npm(copy, "install", "--prefer-offline", *PEERS["oldest"])
            copy.rename(oldest)
    return App(apps[peers])


def readme_files() -> dict[str, str]:
    """Return the files that the package's README has in whole, by their paths in an app."""
    blocks = re.findall(
        r"```tsx\n// (src/\S+)\n(.*?)```", (WEB / "README.md").read_text(), re.DOTALL
    )
    return dict(blocks)


VERSION = re.search(r'"version": "(.+?)"', (WEB / "package.json").read_text())[1]  # type: ignore[index]
