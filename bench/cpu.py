"""What of the time a process was on a core, which no other work on the machine disturbs."""

from pathlib import Path


def cpu_of(pid: int) -> float:
    """Return the seconds that a process has been on a core since it began."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def waited_of(pid: int) -> float:
    """Return the seconds that it was ready to run and had no core."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
