"""Builds the page that the gateway serves at its root, when its sources have changed."""

import hashlib
import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor

from filelock import FileLock

from local.errors import LocalStackError
from local.node import NODE, install_packages
from local.settings import ROOT

WEB = ROOT / "web"
DIST = WEB / "page" / "dist"
VITE = WEB / "node_modules" / "vite" / "bin" / "vite.js"
SOURCES = ("src", *(f"page/{name}" for name in ("src", "styles", "public", "index.html")))
SETTINGS = ("package.json", "package-lock.json", "page/vite.config.ts")


def build_page() -> bool:
    """Build the page unless it is built already; return whether that was needed.

    Raises LocalStackError with the reason where it can't be built.
    """
    stamp = DIST / ".built"
    wanted = _fingerprint()
    with FileLock(WEB / ".build.lock"):
        if stamp.exists() and stamp.read_text() == wanted:
            return False
        install_packages(WEB, "ci")
        _run_vite("build", "page", "--logLevel", "error")
        stamp.write_text(wanted)
    return True


def build_page_meanwhile() -> "Future[bool]":
    """Begin to build the page in the background."""
    executor = ThreadPoolExecutor(max_workers=1)
    building = executor.submit(build_page)
    executor.shutdown(wait=False)
    return building


def serve_hot(url: str) -> None:
    """Serve the page with hot reload until interrupted; it talks to the stack at this address."""
    install_packages(WEB, "ci")
    environment = {**os.environ, "SUPABASE_URL": url}
    subprocess.run([str(NODE), str(VITE), "page"], cwd=WEB, env=environment, check=False)


def _run_vite(*arguments: str) -> None:
    done = subprocess.run(
        [str(NODE), str(VITE), *arguments], cwd=WEB, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise LocalStackError(f"the page could not be built: {done.stderr.strip()[:300]}")


def _fingerprint() -> str:
    """Return a hash of everything that the page is made of."""
    digest = hashlib.sha256()
    files = [path for name in SOURCES + SETTINGS for path in [WEB / name, *(WEB / name).rglob("*")]]
    for path in sorted(path for path in files if path.is_file()):
        digest.update(f"{path.relative_to(WEB)}\0".encode() + path.read_bytes())
    return digest.hexdigest()
