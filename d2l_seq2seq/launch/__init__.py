"""``python -m d2l_seq2seq.launch``: run a command as several workers on this machine."""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import sys

from .. import cli
from ..errors import InputError
from ..fields import POSITIVE, POSITIVE_OR_NONE, whole
from .cluster import (
    LOOPBACK,
    SERVER_COMMAND,
    Cluster,
    check_port,
    find_free_ports,
    local_tasks,
    resolve_address,
)
from .output import write_line
from .supervisor import supervise

ROLES = 'scheduler', 'server', 'worker'


def main(argv: list[str] | None = None, server_command: list[str] = SERVER_COMMAND) -> int:
    """Run the command: run a job, or print the variables of its processes.

    Parameters
    ----------
    argv : list of str, optional
        The options; those of the process by default.
    server_command : list of str
        The command that the scheduler and each server run.

    Returns
    -------
    int
        The exit code; see `supervise`.

    Raises
    ------
    InputError
        If an option or the command of the workers cannot be used.
    """
    argv = sys.argv[1:] if argv is None else argv
    # Everything after the first -- belongs to the command of the workers.
    end = argv.index('--') if '--' in argv else len(argv)
    options, command = build_parser().parse_args(argv[:end]), argv[end + 1 :]
    if options.print_env:
        worker_command = shlex.join(command) or 'python -m d2l_seq2seq.train --kvstore dist_sync'
        _print_variables(_remote_cluster(options), options.print_env, worker_command)
        return 0
    _check_command(command)
    cluster = _local_cluster(options)
    tasks, monitor = local_tasks(cluster, command, server_command, options.all_output)
    return supervise(
        tasks,
        lambda seconds: monitor.problem(seconds, options.start_timeout),
        options.stop_timeout,
        write_line,
    )


def build_parser() -> cli.Parser:
    """Return the parser of the command's options."""
    parser = cli.parser_for(
        'launch',
        "Run a command as several workers on this machine, connected by MXNet's parameter server. "
        'If a process fails, launch terminates the others and exits with the exit code of the '
        'process that failed. The transport is neither authenticated nor encrypted.',
    )
    parser.usage = '%(prog)s [options] -- COMMAND ...'
    count = cli.reader(whole(1, 1024))
    parser.add_argument(
        '-n',
        '--num-workers',
        type=count,
        default=2,
        metavar='COUNT',
        help='number of workers, which run the command',
    )
    parser.add_argument(
        '-s',
        '--num-servers',
        type=count,
        default=1,
        metavar='COUNT',
        help='number of servers, which add up the gradients of the workers',
    )
    parser.add_argument(
        '--host',
        metavar='ADDRESS',
        help='address of this machine on which the processes listen; use only an address in a '
        f'private network (default: {LOOPBACK}, which other machines cannot reach)',
    )
    parser.add_argument(
        '--port',
        type=cli.reader(whole(1, 65535)),
        metavar='PORT',
        help='port of the scheduler (default: a free port)',
    )
    parser.add_argument(
        '--start-timeout',
        type=cli.reader(POSITIVE_OR_NONE),
        default=60,
        metavar='SECONDS',
        help="time within which all servers and workers must reach the scheduler, or 'none'",
    )
    parser.add_argument(
        '--stop-timeout',
        type=cli.reader(POSITIVE),
        default=30,
        metavar='SECONDS',
        help='time within which the workers must exit after Ctrl-C or SIGTERM, which are passed on '
        'to them',
    )
    parser.add_argument(
        '--all-output',
        action='store_true',
        help='show the standard output of all workers, with the number of the worker before each '
        'line, instead of that of worker 0 only',
    )
    parser.add_argument(
        '--print-env',
        nargs='?',
        choices=[*ROLES, 'all'],
        const='all',
        metavar='ROLE',
        help='print the environment variables that processes on the machines of a cluster need, '
        'and run nothing; ROLE is scheduler, server, worker or all (default: all)',
    )
    return parser


def _check_command(command: list[str]) -> None:
    """Raise `InputError` if a worker cannot be started."""
    if not command:
        raise InputError(
            'expected a command after --, got none',
            f'For example, type: {sys.executable} -m d2l_seq2seq.launch -n 2 -- {sys.executable} '
            '-m d2l_seq2seq.train --kvstore dist_sync',
        )
    if shutil.which(command[0]) is None:
        raise InputError(
            f'{command[0]}: expected a command, got a name that is neither in the PATH nor an '
            'executable file',
            'Pass the path of the command.',
        )


def _local_cluster(options: argparse.Namespace) -> Cluster:
    """Return a cluster on this machine, whose scheduler can listen at its address and port."""
    host = resolve_address(options.host or LOOPBACK)
    if options.port is None:
        (port,) = find_free_ports(host, 1)
    else:
        port = options.port
        check_port(host, port)
    return Cluster(options.num_workers, options.num_servers, host, port)


def _remote_cluster(options: argparse.Namespace) -> Cluster:
    """Return a cluster on several machines, with the address of its scheduler from the options."""
    if options.host is None or options.port is None:
        raise InputError(
            '--print-env: expected --host and --port as well',
            "Pass the address of the scheduler's machine and a free port of it.",
        )
    if options.host == '0.0.0.0' or not re.fullmatch(r'[A-Za-z0-9.-]+', options.host):
        raise InputError(
            f'--host {options.host}: expected an IPv4 address or a name that the other machines '
            'know',
            'Pass an address in a private network.',
        )
    return Cluster(options.num_workers, options.num_servers, options.host, options.port)


def _print_variables(cluster: Cluster, chosen_role: str, worker_command: str) -> None:
    """Print shell commands that set the variables of one role or of all of them."""
    print(
        f'# Processes of the job: workers {cluster.num_workers}, servers {cluster.num_servers}, '
        'scheduler 1.\n'
        '# Run each of them with the variables of its role, using the `python` of an environment\n'
        '# in which d2l_seq2seq is installed.\n'
        '# The scheduler and the servers exit after the workers; before that, only kill -KILL\n'
        '# ends them.\n'
        '# The processes connect to each other on arbitrary ports, without passwords or\n'
        '# encryption, and a server unpickles what it receives: use a private network only.'
    )
    server_command = 'python -m d2l_seq2seq.launch.server'
    host_is_name = re.fullmatch(r'[0-9.]+', cluster.host) is None
    for role, processes, role_command in (
        ('scheduler', f'The scheduler, on {cluster.host}', server_command),
        ('server', 'Each server, on any machine', server_command),
        ('worker', 'Each worker, on any machine', worker_command),
    ):
        if chosen_role not in (role, 'all'):
            continue
        print(f'\n# {processes}: set these variables, then run: {role_command}')
        for name, value in cluster.variables(role).items():
            print(f'export {name}={value}')
        if role != 'scheduler':
            print('# export DMLC_INTERFACE=eth0  # the network interface, if there are several')
        elif host_is_name:
            print(
                'export DMLC_USE_KUBERNETES=1  # listen on all interfaces, because ps-lite cannot '
                'listen on a name'
            )
