"""A test run that is interrupted leaves no process and no file behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from local.processes import is_alive
from local.settings import ROOT

HANGS = """
import subprocess, tempfile, time

def test_hangs():
    made = tempfile.mkdtemp()
    left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    print(left.pid, made, file=open({told!r}, "w"), flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupted_run_leaves_nothing(tmp_path: Path, interruption: int) -> None:
    """Neither what a worker had started in a session of its own, nor its folders."""
    told = tmp_path / "told"
    (tmp_path / "test_hangs.py").write_text(HANGS.format(told=str(told)))
    options = ["-pxdist", "-n1", "-ptests.support.leftovers", "-c/dev/null"]
    run = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", *options, "--rootdir", str(tmp_path), str(tmp_path)),
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""},
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (told.exists() and told.read_text().endswith("\n")):
        assert run.returncode is None
        await asyncio.sleep(0.05)
    pid, made = told.read_text().split()
    left = psutil.Process(int(pid))
    os.killpg(run.pid, interruption)
    await run.wait()
    assert not is_alive(left)
    assert not Path(made).parent.exists()
