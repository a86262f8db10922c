"""A job of MXNet's parameter server: its processes, their variables, and their addresses.

One scheduler introduces the other processes to each other, the servers keep the parameters and add
up what they receive, and the workers train.  Each process reads its role and the address of the
scheduler from environment variables that begin with ``DMLC_``.  `local_tasks` describes the
processes of a job on this machine, and `JoinMonitor` follows how they reach the scheduler.  The
module `supervisor` runs them.

The transport uses neither passwords nor encryption, and a server unpickles what it receives.
Therefore the processes listen on the loopback address unless the user asks for another one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Iterator

from .._runtime import THREAD_LIMIT, num_cores
from ..errors import InputError
from .output import Destination
from .supervisor import Task

LOOPBACK = '127.0.0.1'
SERVER_COMMAND = [sys.executable, '-m', 'd2l_seq2seq.launch.server']
# Linux and macOS take higher ports for outgoing connections.
_PORTS = range(10_000, 32_768)
# The scheduler logs this line at PS_VERBOSE=2 when a process has reached it.
_JOINED = re.compile(rb' => 1\. Meta: .* cmd=ADD_NODE, node=\{ role=(\w+),.* ip=(\S+), port=(\d+)')
# The other lines that it logs at PS_VERBOSE=2.  Two threads sometimes write into the same line.
_LOGGED = re.compile(
    rb'^(?!.*Check failed)(.*(ps-lite/|Meta: |=> |cmd=|H\[1\]|Barrier count)|'
    rb'[\d\[\]:. ?]*$)'
)


@dataclass(frozen=True)
class Cluster:
    """The size of a job and the address of its scheduler."""

    num_workers: int
    num_servers: int
    host: str
    port: int

    def variables(self, role: str) -> dict[str, str]:
        """Return the environment variables that a process needs on any machine.

        Parameters
        ----------
        role : str
            ``scheduler``, ``server`` or ``worker``.
        """
        return {
            'DMLC_ROLE': role,
            'DMLC_PS_ROOT_URI': self.host,
            'DMLC_PS_ROOT_PORT': str(self.port),
            'DMLC_NUM_WORKER': str(self.num_workers),
            'DMLC_NUM_SERVER': str(self.num_servers),
        }


def local_tasks(
    cluster: Cluster, command: list[str], server_command: list[str], all_output: bool
) -> tuple[list[Task], JoinMonitor]:
    """Describe the processes of a job on this machine.

    Parameters
    ----------
    cluster : Cluster
    command : list of str
        The command that each worker runs.
    server_command : list of str
        The command that the scheduler and each server run.
    all_output : bool
        If True, show the standard output of every worker, with its number before each line.  If
        False, show that of worker 0 only, unchanged.

    Returns
    -------
    tasks : list of Task
        The scheduler, the servers and the workers, in the order in which to start them.
    monitor : JoinMonitor
        It reads the scheduler's log while the tasks run.
    """
    members = [
        (role, number)
        for role, count in (('server', cluster.num_servers), ('worker', cluster.num_workers))
        for number in range(count)
    ]
    # MXNet numbers the workers in the order of their ports, so worker 0 gets rank 0.
    ports = find_free_ports(cluster.host, len(members), excluded=cluster.port)
    names = [f'{role} {number}' for role, number in members]
    monitor = JoinMonitor(dict(zip(ports, names)))
    log = Destination(2, '[scheduler] ', monitor.read_line)
    environment = _inherited_environment(cluster)
    tasks = [
        Task(
            name='scheduler',
            command=server_command,
            environment={**environment, **cluster.variables('scheduler'), 'PS_VERBOSE': '2'},
            is_worker=False,
            stdout=log,
            stderr=log,
        )
    ]
    for port, name, (role, number) in zip(ports, names, members):
        is_worker = role == 'worker'
        if is_worker:
            stdout, stderr = _worker_outputs(number, all_output)
        else:
            stdout = stderr = Destination(2, f'[{name}] ')
        variables = {
            **cluster.variables(role),
            'DMLC_NODE_HOST': cluster.host,
            'DMLC_TASK_ID': str(number),
            'PORT': str(port),
        }
        tasks.append(
            Task(
                name=name,
                command=command if is_worker else server_command,
                environment={**environment, **variables},
                is_worker=is_worker,
                stdout=stdout,
                stderr=stderr,
            )
        )
    return tasks, monitor


def _inherited_environment(cluster: Cluster) -> dict[str, str]:
    """Return our environment with a share of the cores, and without variables of another job."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith('DMLC_')}
    return {
        THREAD_LIMIT: str(max(1, num_cores() // cluster.num_workers)),
        'PYTHONUNBUFFERED': '1',  # so that output written just before a crash is shown
        **inherited,
    }


def _worker_outputs(number: int, all_output: bool) -> list[Destination | int | None]:
    """Return the destinations of a worker's standard output and standard error.

    Worker 0 writes to our own outputs.  If they are a terminal, it gets the terminal itself, which
    a progress bar checks for.
    """
    if number == 0 and not all_output:
        return [None if os.isatty(descriptor) else Destination(descriptor) for descriptor in (1, 2)]
    prefix = f'[{number}] '
    return [Destination(1, prefix) if all_output else subprocess.DEVNULL, Destination(2, prefix)]


class JoinMonitor:
    """The servers and workers that have not reached the scheduler yet, according to its log.

    When all have reached it, the group has formed.  A process that joins from an unknown port
    belongs to another job, or its own port was already in use.

    Parameters
    ----------
    names : dict of int to str
        The name of the process at each port, for messages.
    """

    def __init__(self, names: dict[int, str]):
        self._ports = set(names)
        self._missing = dict(names)
        self._intruder: str | None = None

    def read_line(self, line: bytes) -> bool:
        """Read a line of the scheduler's log; return True if the line should be shown."""
        joined = _JOINED.search(line)
        if joined:
            role, host, port = (part.decode() for part in joined.groups())
            self._missing.pop(int(port), None)
            if int(port) not in self._ports:
                self._intruder = f'a {role} at {host}:{port}'
        return not _LOGGED.match(line) or 'PS_VERBOSE' in os.environ

    def problem(self, seconds: float, timeout: float | None) -> str | None:
        """Return an error message if the group cannot form, or has not formed in time.

        Parameters
        ----------
        seconds : float
            Time since the start of the processes.
        timeout : float, optional
            Seconds within which the group must form; None waits without a limit.
        """
        if self._intruder:
            return (
                f'{self._intruder} joined but does not belong to this job: another program took a '
                'port of this job, or uses its scheduler. Start the job again.'
            )
        missing = ', '.join(self._missing.values())
        if not missing or timeout is None or seconds < timeout:
            return None
        return (
            f'the group did not form within {timeout:g} s: {missing} did not reach the scheduler. '
            'Make sure that the command creates a dist_sync store, read the output above, or allow '
            'more time with --start-timeout.'
        )


def resolve_address(host: str) -> str:
    """Return the IPv4 address of this machine for a name or an address.

    Raises
    ------
    InputError
        If this machine cannot listen on it, or it means all addresses.
    """
    try:
        addresses = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        address = str(addresses[0][4][0])
        with _bound_socket(address, 0):
            pass
    except OSError as error:  # includes an unknown name
        raise InputError(
            f'--host {host}: expected an IPv4 address or a name of this machine, got one that it '
            f'cannot listen on ({error.strerror})',
            f'Leave out --host to use {LOOPBACK}.',
        ) from None
    if address == '0.0.0.0':
        raise InputError(
            f'--host {host}: expected one address of this machine, got all of them',
            'Pass an address in a private network.',
        )
    return address


def check_port(host: str, port: int) -> None:
    """Raise `InputError` if a scheduler cannot listen on a port."""
    try:
        with _bound_socket(host, port):
            pass
    except OSError as error:
        raise InputError(
            f'--port {port}: expected a port on which {host} can listen, got one that is not '
            f'available ({error.strerror})',
            'Pass another port, or leave out --port to use a free one.',
        ) from None


def find_free_ports(host: str, count: int, excluded: int | None = None) -> list[int]:
    """Return ports on which no process listens, in ascending order.

    They are drawn at random, so that jobs started at the same moment get different ports.

    Parameters
    ----------
    host : str
        An IPv4 address of this machine.
    count : int
        Number of ports.
    excluded : int, optional
        A port that is not returned.

    Raises
    ------
    InputError
        If there are fewer free ports.
    """
    candidates = random.SystemRandom().sample(_PORTS, len(_PORTS))
    free = (port for port in candidates if port != excluded and _is_free(host, port))
    ports = sorted(itertools.islice(free, count))
    if len(ports) < count:
        raise InputError(
            f'--host {host}: expected {count} free ports from {_PORTS[0]} to {_PORTS[-1]}, got '
            f'{len(ports)}',
            'Close other programs.',
        )
    return ports


def _is_free(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), _bound_socket(host, port):
        return True
    return False


@contextlib.contextmanager
def _bound_socket(host: str, port: int) -> Iterator[None]:
    """Occupy a port as a server would; raise OSError if that is not possible."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        yield
