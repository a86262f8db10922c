"""A job of MXNet's parameter server on one machine: who takes part, and what each has to know.

One scheduler brings together the servers, which keep and add up, and the workers, which train.
What a process is, and where the scheduler listens, it learns from variables that begin with DMLC_.
The transport knows neither passwords nor encryption, and a server unpickles what it is sent: so the
address is that of the machine itself, unless another one is asked for.

What the processes say to each other is MXNet's affair, and how they are watched `supervision`'s.
This file is a program as well: what the scheduler and the servers run.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass

from .._runtime import THREAD_LIMIT, num_cores
from ..errors import InputError
from .output import Lines
from .supervisor import Task

LOOPBACK = '127.0.0.1'
SERVE = [sys.executable, '-m', 'd2l_seq2seq.launch.cluster']
# Outgoing connections are given higher ones by Linux and macOS.
_PORTS = range(10_000, 32_768)
# What the scheduler logs at PS_VERBOSE=2 when a process has reached it.
_JOINED = re.compile(rb' => 1\. Meta: .* cmd=ADD_NODE, node=\{ role=(\w+),.* ip=(\S+), port=(\d+)')
# What else it logs, two threads of it at times into the same line.
_LOGGED = re.compile(
    rb'^(?!.*Check failed)(.*(ps-lite/|Meta: |=> |cmd=|H\[1\]|Barrier count)|'
    rb'[\d\[\]:. ?]*$)'
)


@dataclass(frozen=True)
class Cluster:
    """How many take part, and where the scheduler listens."""

    num_workers: int
    num_servers: int
    host: str
    port: int

    def variables(self, role: str) -> dict[str, str]:
        """What a process has to find in its environment, wherever it runs."""
        return {
            'DMLC_ROLE': role,
            'DMLC_PS_ROOT_URI': self.host,
            'DMLC_PS_ROOT_PORT': str(self.port),
            'DMLC_NUM_WORKER': str(self.num_workers),
            'DMLC_NUM_SERVER': str(self.num_servers),
        }


class RollCall:
    """Who has still to reach the scheduler, as far as its log says.

    The group has formed when nobody has.  A process that comes from a port that isn't in the list
    belongs to someone else, or found its own port taken.

    Parameters
    ----------
    names : dict of int to str
        What messages call the process that has a port.
    """

    def __init__(self, names: dict[int, str]):
        self._ports, self._missing = set(names), dict(names)
        self._stranger: str | None = None

    def hear(self, line: bytes) -> bool:
        """Take note of a line of the scheduler's log; returns whether it is for people as well."""
        joined = _JOINED.search(line)
        if joined:
            role, host, port = (part.decode() for part in joined.groups())
            self._missing.pop(int(port), None)
            if int(port) not in self._ports:
                self._stranger = f'a {role} at {host}:{port}'
        return not _LOGGED.match(line) or 'PS_VERBOSE' in os.environ

    def problem(self, seconds: float, timeout: float | None) -> str | None:
        """What is wrong after so many seconds, if anything is."""
        if self._stranger:
            return (
                f'{self._stranger} joined, which this job did not put there: another program '
                'took its port, or used ours; start again'
            )
        missing = list(self._missing.values())
        if not missing or timeout is None or seconds < timeout:
            return None
        return (
            f'the group has not formed in {timeout:g} s: {", ".join(missing)} did not reach '
            'the scheduler; see to it that the command creates a dist_sync store, look at what '
            'was printed above, or wait longer with --start-timeout'
        )


def address_of(host: str) -> str:
    """An address of this machine in numbers, as it can be listened on.

    Raises
    ------
    InputError
        If it isn't one.
    """
    try:
        address = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
        with _bound(address, 0):
            pass
    except OSError as error:  # also one that knows no such name
        raise InputError(
            f'--host {host}: expected an IPv4 address or a name of this machine, got '
            f'one that it can not listen on ({error.strerror}); leave it out for '
            f'{LOOPBACK}'
        ) from None
    if address == '0.0.0.0':
        raise InputError(
            f'--host {host}: expected one address of this machine, got all of them; '
            'name a private one'
        )
    return address


def check_port(host: str, port: int) -> None:
    """Raise `InputError` unless a scheduler can listen there."""
    try:
        with _bound(host, port):
            pass
    except OSError as error:
        raise InputError(
            f'--port {port}: expected a port to listen on at {host}, got one that can '
            f'not be had ({error.strerror}); name another, or leave it out'
        ) from None


def free_ports(host: str, count: int, taken: int | None = None) -> list[int]:
    """Ports on which nobody listens, in ascending order, other than one that is `taken`.

    Drawn, so that jobs that start in the same moment find different ones.

    Raises
    ------
    InputError
        If there are not so many.
    """
    drawn = random.SystemRandom().sample(_PORTS, len(_PORTS))
    free = (port for port in drawn if port != taken and _can_listen(host, port))
    ports = sorted(itertools.islice(free, count))
    if len(ports) < count:
        raise InputError(
            f'--host {host}: expected {count} free ports from {_PORTS[0]} to '
            f'{_PORTS[-1]}, got {len(ports)}; end other programs'
        )
    return ports


def _can_listen(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), _bound(host, port):
        return True
    return False


@contextlib.contextmanager
def _bound(host: str, port: int):
    """Within it, a port is ours, as it can be a server's."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        yield


def tasks_of(
    cluster: Cluster, command: list[str], serve: list[str], all_output: bool
) -> tuple[list[Task], RollCall]:
    """The processes of a job on this machine, and who of them has to reach the scheduler.

    Parameters
    ----------
    command, serve : list of str
        What a worker runs; what the scheduler and each server run.
    all_output : bool
        Whether each worker's standard output is shown, instead of the first one's as it is.
    """
    members = [
        (role, number)
        for role, count in (('server', cluster.num_servers), ('worker', cluster.num_workers))
        for number in range(count)
    ]
    # Ranks follow the ports: worker 0 has rank 0.
    ports = free_ports(cluster.host, len(members), taken=cluster.port)
    roll_call = RollCall({port: f'{role} {number}' for port, (role, number) in zip(ports, members)})
    environment = _environment(cluster)
    log = Lines(2, '[scheduler] ', roll_call.hear)
    tasks = [
        Task(
            'scheduler',
            serve,
            {**environment, **cluster.variables('scheduler'), 'PS_VERBOSE': '2'},
            False,
            log,
            log,
        )
    ]
    for port, (role, number) in zip(ports, members):
        own = {
            **environment,
            **cluster.variables(role),
            'DMLC_NODE_HOST': cluster.host,
            'DMLC_TASK_ID': str(number),
            'PORT': str(port),
        }
        is_worker, name = role == 'worker', f'{role} {number}'
        outputs = _worker_outputs(number, all_output) if is_worker else [Lines(2, f'[{name}] ')] * 2
        tasks.append(Task(name, command if is_worker else serve, own, is_worker, *outputs))
    return tasks, roll_call


def _environment(cluster: Cluster) -> dict[str, str]:
    """Our environment without what another job may have left, and with a share of the cores."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith('DMLC_')}
    return {
        THREAD_LIMIT: str(max(1, num_cores() // cluster.num_workers)),
        'PYTHONUNBUFFERED': '1',
        **kept,
    }  # so that the last words before an end are seen


def _worker_outputs(number: int, all_output: bool) -> list[Lines | int | None]:
    """Where a worker's standard output and standard error go.

    Those of the first go where ours go: to a terminal themselves, which a progress bar looks for.
    """
    if number == 0 and not all_output:
        return [None if os.isatty(descriptor) else Lines(descriptor) for descriptor in (1, 2)]
    prefix = f'[{number}] '
    return [Lines(1, prefix) if all_output else subprocess.DEVNULL, Lines(2, prefix)]


def _serve() -> None:
    """Work as a scheduler or a server, which MXNet does while it is imported, to the job's end.

    A batch system sends its signals to all processes, and workers that save still need these.
    """
    wanted = Cluster(1, 1, '', 0).variables('server')
    missing = [name for name in wanted if name not in os.environ]
    if missing or os.environ['DMLC_ROLE'] not in ('scheduler', 'server'):
        print(
            f'error: expected DMLC_ROLE=scheduler or server and {", ".join(list(wanted)[1:])} in '
            'the environment; python -m d2l_seq2seq.launch --print-env writes them',
            file=sys.stderr,
        )
        sys.exit(2)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from .. import _mxnet  # noqa: F401


if __name__ == '__main__':
    _serve()
