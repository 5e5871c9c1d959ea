"""Work in a process of its own: what it may take from where it runs."""

from asyncio.subprocess import DEVNULL
from pathlib import Path

from shared.encoding.sandbox import running


async def test_no_module_is_taken_from_the_folder(tmp_path: Path) -> None:
    """Imports run where everybody on the machine may write."""
    (tmp_path / "resource.py").write_text("raise SystemExit(7)")
    async with running("shared.encoding.sandbox", folder=tmp_path, stdout=DEVNULL) as process:
        await process.communicate()
    assert process.returncode == 0
