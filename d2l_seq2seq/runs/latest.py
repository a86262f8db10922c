"""The link ``runs/latest``, by which commands find the run that was started last.

``runs`` is the folder of the runs for which no other one is given.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

RUNS_DIR, LATEST = 'runs', 'latest'


def link_latest(run: Path) -> None:
    """Make ``runs/latest`` a link to a run, if the run is in ``runs``.

    A folder named ``latest`` is left alone, and so are the parents of runs elsewhere.
    """
    link = run.with_name(LATEST)
    if run.parent != Path(RUNS_DIR) or run == link or (link.exists() and not link.is_symlink()):
        return
    new = run.with_name(f'.{LATEST}-{os.getpid()}')
    with contextlib.suppress(OSError):  # not every file system has links
        new.symlink_to(run.name)
        os.replace(new, link)
