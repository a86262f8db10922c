"""``python -m d2l_seq2seq.launch.server``: a scheduler or a server of MXNet's parameter server.

If ``DMLC_ROLE`` names one of these roles, MXNet takes it on while it is imported.  The launcher
runs this program, as do the process managers of a cluster.  No other module imports it.
"""

from __future__ import annotations

import os
import signal
import sys

from ..errors import InputError
from .cluster import Cluster


def main() -> None:
    """Serve the workers of a job until they are done.

    SIGINT and SIGTERM are ignored: a batch system sends them to all processes, and workers that
    save a checkpoint still need the scheduler and the servers.
    """
    try:
        _check_environment()
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from .. import _mxnet  # noqa: F401


def _check_environment() -> None:
    """Raise `InputError` if a variable is missing that a scheduler or a server needs."""
    names = list(Cluster(1, 1, '', 0).variables('server'))
    is_complete = all(name in os.environ for name in names)
    if not is_complete or os.environ['DMLC_ROLE'] not in ('scheduler', 'server'):
        raise InputError(
            f'expected DMLC_ROLE=scheduler or server and {", ".join(names[1:])} in the environment',
            'Set the variables that python -m d2l_seq2seq.launch --print-env prints.',
        )


if __name__ == '__main__':
    main()
