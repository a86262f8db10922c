"""``python -m d2l_seq2seq.launch``: a command as several workers on this machine."""

from __future__ import annotations

import re
import shlex
import shutil
import sys

from .. import cli
from ..errors import InputError
from ..fields import POSITIVE, POSITIVE_OR_NONE, whole
from .cluster import LOOPBACK, SERVE, Cluster, address_of, check_port, free_ports, tasks_of
from .output import write_line
from .supervisor import supervise

ROLES = 'scheduler', 'server', 'worker'


def _parser() -> cli.Parser:
    parser = cli.parser_for(
        'launch',
        "Run a command as several workers on this machine, joined by MXNet's parameter "
        'server. All processes end when one fails, whose exit code is passed on. The '
        'transport is neither authenticated nor encrypted.',
    )
    parser.usage = '%(prog)s [options] -- COMMAND ...'
    count = cli.reader(whole(1, 1024))
    parser.add_argument(
        '-n',
        '--num-workers',
        type=count,
        default=2,
        metavar='COUNT',
        help='how many processes run the command',
    )
    parser.add_argument(
        '-s',
        '--num-servers',
        type=count,
        default=1,
        metavar='COUNT',
        help='how many processes add up what the workers send',
    )
    parser.add_argument(
        '--host',
        metavar='ADDRESS',
        help='the address of this machine on which '
        f'the processes listen (default: {LOOPBACK}, which no other machine '
        'reaches); only ever one of a private network',
    )
    parser.add_argument(
        '--port',
        type=cli.reader(whole(1, 65535)),
        metavar='PORT',
        help="the scheduler's (default: a free one)",
    )
    parser.add_argument(
        '--start-timeout',
        type=cli.reader(POSITIVE_OR_NONE),
        default=60,
        metavar='SECONDS',
        help="how long all servers and workers have to reach the scheduler, or 'none'",
    )
    parser.add_argument(
        '--stop-timeout',
        type=cli.reader(POSITIVE),
        default=30,
        metavar='SECONDS',
        help='how long the workers have to end by themselves '
        'after Ctrl-C or SIGTERM, which are passed on to them',
    )
    parser.add_argument(
        '--all-output',
        action='store_true',
        help="show every worker's standard "
        "output, with its number before each line, and not only worker 0's",
    )
    parser.add_argument(
        '--print-env',
        nargs='?',
        choices=[*ROLES, 'all'],
        const='all',
        metavar='ROLE',
        help='run nothing, and write the variables that one or '
        'all of scheduler, server and worker need on machines of a cluster',
    )
    return parser


def main(argv: list[str] | None = None, serve: list[str] = SERVE) -> int:
    """Run a job, or print its variables, as the options say; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # What stands behind the first -- is the worker's, whatever it looks like.
    end = argv.index('--') if '--' in argv else len(argv)
    options, command = _parser().parse_args(argv[:end]), argv[end + 1 :]
    if options.print_env:
        _print_variables(options, command)
        return 0
    _check_command(command)
    cluster = _local_cluster(options)
    tasks, roll_call = tasks_of(cluster, command, serve, options.all_output)
    return supervise(
        tasks,
        lambda seconds: roll_call.problem(seconds, options.start_timeout),
        options.stop_timeout,
        write_line,
    )


def _check_command(command: list[str]) -> None:
    """Raise `InputError` unless a worker can be started."""
    if not command:
        raise InputError(
            'expected a command behind --, got none; type for example: '
            f'{sys.executable} -m d2l_seq2seq.launch -n 2 -- {sys.executable} -m '
            'd2l_seq2seq.train --kvstore dist_sync'
        )
    if shutil.which(command[0]) is None:
        raise InputError(
            f'{command[0]}: expected a command, got a name that is neither one of the '
            'PATH nor a file that can be run; write its path'
        )


def _local_cluster(options) -> Cluster:
    """A cluster of this machine alone, at an address and a port that can be listened on."""
    host = address_of(options.host or LOOPBACK)
    if options.port is None:
        (port,) = free_ports(host, 1)
    else:
        port = options.port
        check_port(host, port)
    return Cluster(options.num_workers, options.num_servers, host, port)


def _print_variables(options, command: list[str]) -> None:
    """Write what to type on the machines of a cluster, in a shell's words."""
    if options.host is None or options.port is None:
        raise InputError(
            '--print-env: expected --host and --port with it, the machine of the '
            'scheduler and a port that is free there; add them'
        )
    is_name = re.fullmatch(r'[0-9.]+', options.host) is None
    if options.host == '0.0.0.0' or not re.fullmatch(r'[A-Za-z0-9.-]+', options.host):
        raise InputError(
            f'--host {options.host}: expected an IPv4 address or a name that the '
            'other machines know; name one of a private network'
        )
    cluster = Cluster(options.num_workers, options.num_servers, options.host, options.port)
    work = shlex.join(command) or 'python -m d2l_seq2seq.train --kvstore dist_sync'
    serve = 'python -m d2l_seq2seq.launch.cluster'
    print(
        f'# workers: {cluster.num_workers}, servers: {cluster.num_servers}, scheduler: 1; each a '
        'process with the variables of its role.\n'
        '# `python` is that of an environment in which d2l_seq2seq is installed.\n'
        '# Scheduler and servers end with the workers, and before that by kill -KILL alone.\n'
        '# They connect to each other on ports of all numbers, without passwords or encryption,\n'
        '# and a server unpickles what it is sent: in a private network only.'
    )
    for role, where, then in (
        ('scheduler', f'on {cluster.host}', serve),
        ('server', 'on any machine', serve),
        ('worker', 'on any machine', work),
    ):
        if options.print_env not in (role, 'all'):
            continue
        print(f'\n# each {role}, {where}; then type: {then}')
        for name, value in cluster.variables(role).items():
            print(f'export {name}={value}')
        if role != 'scheduler':
            print('# export DMLC_INTERFACE=eth0  # the private network, where there are several')
        elif is_name:
            print(
                'export DMLC_USE_KUBERNETES=1  # listens on all interfaces: no name can be '
                'listened on'
            )
