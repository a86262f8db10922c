"""Jobs of several processes: what is started, what is shown, and that nothing is ever left."""

import contextlib
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from d2l_seq2seq import InputError, launch
from d2l_seq2seq._runtime import num_cores
from d2l_seq2seq.launch import cluster
from d2l_seq2seq.launch.cluster import Cluster, RollCall, free_ports

from conftest import ROOT
from small_run import hear_ctrl_c

# Runs the command with another program in the place of scheduler and servers.
DRIVER = """
import sys
from d2l_seq2seq import cli
from d2l_seq2seq import launch
from d2l_seq2seq.launch import supervisor
supervisor.SETTLE = 0.3  # these servers never end by themselves
cli.run(lambda: launch.main(sys.argv[2:], [sys.executable, '-c', sys.argv[1]]))
"""
# What every process of these jobs begins with: it leaves its number, and knows when to end.
PRELUDE = """
import os, signal, subprocess, sys, time
role, number = os.environ['DMLC_ROLE'], int(os.environ.get('DMLC_TASK_ID', 0))
def note(name, text):
    path = os.path.join(os.environ['NOTES'], name)
    with open(path + '.part', 'w') as file:
        file.write(str(text))
    os.rename(path + '.part', path)
def wait():
    time.sleep(600)
note(f'{role}-{number}', os.getpid())
"""
SERVE = f'{PRELUDE}\nwait()'


def wait_for(condition):
    """Wait until something is true."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, 'waited for a minute'
        time.sleep(0.02)


def is_running(pid):
    """Whether there is a process that has not ended; one that nobody waited for has."""
    try:
        os.kill(pid, 0)
        if not os.path.exists('/proc/self/stat'):  # macOS
            return True
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except (ProcessLookupError, FileNotFoundError):
        return False


class Job:
    """The command with a program for its workers, and the processes that left their numbers."""

    def __init__(
        self, folder, worker, *options, serve=SERVE, stdout=subprocess.PIPE, environment=()
    ):
        self.folder = folder
        self.process = subprocess.Popen(
            [
                sys.executable,
                '-c',
                DRIVER,
                serve,
                *options,
                '--',
                sys.executable,
                '-c',
                PRELUDE + textwrap.dedent(worker),
            ],
            cwd=ROOT,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
            env={**os.environ, 'NOTES': str(folder), **dict(environment)},
        )

    def pids(self):
        return [int(path.read_text()) for path in self.folder.iterdir() if path.suffix == '']

    def wait_for(self, *names):
        """Wait until processes have left what has these names."""
        wait_for(lambda: all((self.folder / name).exists() for name in names))

    def finish(self):
        """Exit code, standard output, standard error; and nothing is left."""
        stdout, stderr = self.process.communicate(timeout=60)
        assert [pid for pid in self.pids() if is_running(pid)] == []
        return self.process.returncode, stdout, stderr


@pytest.fixture
def job(tmp_path):
    """Starts a job, and kills what a failing test leaves of it."""
    started = []

    def start(*args, **kwargs):
        started.append(Job(tmp_path, *args, **kwargs))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()
        for pid in one.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


EVERYBODY = 'scheduler-0', 'server-0', 'worker-0', 'worker-1'


def test_a_job_ends_when_its_workers_do(job):
    one = job('print(role, number)', '-n', '3', '-s', '2')
    assert one.finish() == (0, 'worker 0\n', '')
    names = {path.name for path in one.folder.iterdir()}
    assert {'worker-0', 'worker-1', 'worker-2'} <= names  # the others may have been too slow


def test_scheduler_and_servers_may_end_first(job):
    one = job("time.sleep(0.3); print('done')", serve=PRELUDE)
    assert one.finish() == (0, 'done\n', '')


def test_what_runs_for_the_workers_may_fail_after_them(job):
    """As a program in C++ may that ends while its threads run; the work is done."""
    one = job(
        "print('done')",
        serve=PRELUDE
        + """
for name in ('worker-0', 'worker-1'):
    path = os.path.join(os.environ['NOTES'], name)
    try:
        while not os.path.exists(path) or os.kill(int(open(path).read()), 0) is None:
            time.sleep(0.02)
    except ProcessLookupError:
        pass
os.abort()""",
    )
    code, stdout, stderr = one.finish()
    assert (code, stdout) == (0, 'done\n') and 'error' not in stderr


@pytest.mark.parametrize(
    'ending, code, how',
    [
        ('sys.exit(3)', 3, 'ended with exit code 3'),
        ('os._exit(1)', 1, 'ended with exit code 1'),
        ('os.kill(os.getpid(), signal.SIGKILL)', 137, 'was ended by SIGKILL'),
        ('os.abort()', 134, 'was ended by SIGABRT'),
        ('os.kill(os.getpid(), 40)', 168, 'was ended by signal 40'),
    ],
)
def test_a_worker_that_fails_ends_the_job(job, ending, code, how):
    one = job(f'{ending} if number else wait()')
    ended, stdout, stderr = one.finish()
    pid = (one.folder / 'worker-1').read_text()
    assert (ended, stdout) == (code, '')
    assert stderr == f'error: worker 1 (process {pid}) {how}; ending the others\n'


def test_a_worker_that_is_killed_ends_the_job(job):
    one = job('wait()')
    one.wait_for(*EVERYBODY)
    os.kill(int((one.folder / 'worker-0').read_text()), signal.SIGKILL)
    code, _, stderr = one.finish()
    assert code == 137 and re.fullmatch(
        r'error: worker 0 \(process \d+\) was ended by SIGKILL; '
        r'ending the others\n',
        stderr,
    )


@pytest.mark.parametrize('role', ['scheduler', 'server'])
def test_what_runs_for_the_workers_ends_the_job_as_well(job, role):
    name = {'scheduler': 'scheduler', 'server': 'server 1'}[role]
    one = job(
        'wait()',
        '-s',
        '2',
        serve=f'{PRELUDE}\n'
        f'wait() if (role, number) != ("{role}", {int(role == "server")}) else sys.exit(5)',
    )
    code, _, stderr = one.finish()
    assert code == 5 and stderr.startswith(f'error: {name} (process ')


def test_who_does_not_want_to_end_is_killed(job):
    one = job("""
        if number == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            note('ignores.txt', '')
            wait()
        while not os.path.exists(os.environ['NOTES'] + '/ignores.txt'):
            time.sleep(0.02)
        note('failed.txt', '')
        sys.exit(4)""")
    one.wait_for('failed.txt')
    assert one.finish()[0] == 4  # which it comes to only if the other is killed


GRANDCHILD = """
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
note(f'child-{number}', child.pid)
"""


def test_what_a_process_started_ends_with_it(job):
    one = job(GRANDCHILD + 'sys.exit(0 if number else 6)')
    assert one.finish()[0] == 6
    one = job(GRANDCHILD)
    assert one.finish()[0] == 0
    assert {'child-0', 'child-1'} <= {path.name for path in one.folder.iterdir()}


def test_nothing_outlives_the_launcher(job):
    """Which is killed, and can do nothing more."""
    one = job(GRANDCHILD + 'wait()')
    one.wait_for(*EVERYBODY, 'child-0', 'child-1')
    assert all(map(is_running, one.pids()))
    one.process.kill()
    wait_for(lambda: not any(map(is_running, one.pids())))


STOPPABLE = """
def stop(received, frame):
    note(f'saved-{number}.txt', received)
    sys.exit(128 + received)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
note(f'ready-{number}.txt', '')
wait()
"""
READY = [f'ready-{number}.txt' for number in range(2)]


@pytest.mark.parametrize(
    'number, name, code', [(signal.SIGINT, 'SIGINT', 130), (signal.SIGTERM, 'SIGTERM', 143)]
)
def test_a_signal_is_passed_on(job, number, name, code):
    one = job(STOPPABLE)
    one.wait_for(*EVERYBODY, *READY)
    one.process.send_signal(number)
    assert one.finish() == (
        code,
        '',
        f'{name}: the workers have 30 s to end; once more ends them at once\n',
    )
    saved = [int((one.folder / f'saved-{number}.txt').read_text()) for number in range(2)]
    assert saved == [number, number]


def test_a_plain_program_is_interrupted(job):
    one = job("note(f'ready-{number}.txt', ''); wait()")
    one.wait_for(*READY)
    one.process.send_signal(signal.SIGINT)
    code, _, stderr = one.finish()
    assert code == 130 and 'error' not in stderr and '[1] KeyboardInterrupt\n' in stderr


def test_workers_that_end_well_after_a_signal_have_done_their_work(job):
    one = job(STOPPABLE.replace('128 + received', '0'))
    one.wait_for(*READY)
    one.process.send_signal(signal.SIGTERM)
    assert one.finish()[0] == 0


def test_a_worker_that_fails_after_a_signal_has_failed(job):
    one = job(STOPPABLE.replace('128 + received', '9 if number else 143'))
    one.wait_for(*READY)
    one.process.send_signal(signal.SIGTERM)
    code, _, stderr = one.finish()
    assert code == 9 and 'error: worker 1 (process ' in stderr


def test_a_worker_that_saves_is_not_asked_twice(job):
    one = job("""
        def stop(received, frame):
            signal.signal(signal.SIGTERM, lambda *_: note('asked-twice.txt', ''))
            if number:
                sys.exit(9)
            time.sleep(1)  # in which the other one ends and the launcher sees it
            note('saved.txt', '')
            sys.exit(143)
        signal.signal(signal.SIGTERM, stop)
        note(f'ready-{number}.txt', '')
        wait()""")
    one.wait_for(*READY)
    one.process.send_signal(signal.SIGTERM)
    assert one.finish()[0] == 9
    assert (one.folder / 'saved.txt').exists()
    assert not (one.folder / 'asked-twice.txt').exists()


STUBBORN = """
signal.signal(signal.SIGINT, lambda *_: note(f'heard-{number}.txt', ''))
signal.signal(signal.SIGTERM, signal.SIG_IGN)
note(f'ready-{number}.txt', '')
while True:
    time.sleep(600)
"""


def test_workers_that_do_not_stop_are_killed_after_some_time(job):
    one = job(STUBBORN, '--stop-timeout', '0.5')
    one.wait_for(*READY)
    one.process.send_signal(signal.SIGINT)
    code, _, stderr = one.finish()
    assert code == 137
    assert stderr.splitlines()[1] == (
        'error: worker 0, worker 1: not ended 0.5 s after SIGINT, '
        'killed; --stop-timeout waits longer'
    )


def test_a_second_signal_ends_at_once(job):
    one = job(STUBBORN, '--stop-timeout', '100000')
    one.wait_for(*READY)
    one.process.send_signal(signal.SIGINT)
    one.wait_for('heard-0.txt', 'heard-1.txt')
    one.process.send_signal(signal.SIGTERM)
    assert one.finish()[0] == 130


def test_a_group_that_does_not_form_is_ended(job):
    one = job('wait()', '--start-timeout', '0.5', '-s', '2')
    code, stdout, stderr = one.finish()
    assert (code, stdout) == (124, '')
    assert stderr.startswith(
        'error: the group has not formed in 0.5 s: server 0, server 1, '
        'worker 0, worker 1 did not reach the scheduler; see to it that'
    )
    assert stderr.count('\n') == 1


JOINED = (
    b'[14:29:30] ../3rdparty/ps-lite/src/van.cc:419: ? => 1. Meta: request=0, timestamp=0, '
    b'control={ cmd=ADD_NODE, node={ role=%s, ip=127.0.0.1, port=%d, is_recovery=0 } }\n'
)


def test_the_schedulers_log_says_who_has_joined(monkeypatch):
    monkeypatch.delenv('PS_VERBOSE', raising=False)
    roll_call = RollCall({11000: 'server 0', 12000: 'worker 0', 13000: 'worker 1'})
    assert not roll_call.hear(
        b'[14:29:30] ../3rdparty/ps-lite/src/van.cc:310: Bind to role=schedul'
        b'er, id=1, ip=127.0.0.1, port=19123, is_recovery=0\n'
    )
    assert not roll_call.hear(JOINED % (b'server', 11000))
    assert not roll_call.hear(JOINED % (b'worker', 13000))
    assert roll_call.problem(59, 60) is None and roll_call.problem(1e9, None) is None
    assert 'not formed in 60 s: worker 0 did not reach' in roll_call.problem(60, 60)
    roll_call.hear(JOINED % (b'worker', 12000))
    roll_call.hear(JOINED % (b'worker', 12000))  # its second store
    assert roll_call.problem(1e9, 60) is None
    assert not roll_call.hear(
        b'[14:29:31] ../3rdparty/ps-lite/src/van.cc:394: ? => 9. Meta: reques'
        b't=0, timestamp=0, control={ cmd=ADD_NODE, node={ role=worker, id=9,'
        b' ip=127.0.0.1, port=14000, is_recovery=0 } }\n'
    )
    assert roll_call.problem(1e9, 60) is None  # the scheduler's answers name everybody
    roll_call.hear(JOINED % (b'worker', 14000))
    assert roll_call.problem(0, None).startswith('a worker at 127.0.0.1:14000 joined, which this ')


@pytest.mark.parametrize(
    'line, is_shown',
    [
        (b'MXNetError: Check failed: my_node_.port != -1 (-1 vs. -1) : bind failed\n', True),
        (b'[14:29:30] ../3rdparty/ps-lite/src/van.cc:311: Check failed: bind failed\n', True),
        (b'Traceback (most recent call last):\n', True),
        (b'[14:29:31] ../3rdparty/ps-lite/src/van.cc:199: Barrier count for 7 : 1\n', False),
        (b':419: 11 => 1. Meta: request=1, timestamp=2, control={ cmd=BARRIER }\n', False),
        (b'[14:29:31] \n', False),
    ],
)
def test_of_the_schedulers_log_people_see_what_went_wrong(monkeypatch, line, is_shown):
    monkeypatch.delenv('PS_VERBOSE', raising=False)
    assert RollCall({}).hear(line) is is_shown
    monkeypatch.setenv('PS_VERBOSE', '1')
    assert RollCall({}).hear(line)


SPEAK = """
for _ in range(200):
    for word in (role, ' ', str(number), ' speaks\\n'):
        for stream in (sys.stdout, sys.stderr):
            stream.write(word)
            stream.flush()
"""


def test_lines_are_never_mixed(job):
    serve = f'{SERVE[: -len("wait()")]}{SPEAK}wait()'
    code, stdout, stderr = job(
        f'{SPEAK}\ntime.sleep(2)', '--all-output', '-n', '3', serve=serve
    ).finish()
    assert code == 0
    workers = [f'[{number}] worker {number} speaks' for number in range(3)]
    assert sorted(stdout.splitlines()) == sorted(200 * workers)
    assert sorted(line for line in stderr.splitlines() if 'worker' in line) == sorted(200 * workers)
    others = {'[scheduler] scheduler 0 speaks', '[server 0] server 0 speaks'}
    assert set(stderr.splitlines()) <= {*workers, *others}


def test_the_first_workers_output_is_the_jobs(job):
    code, stdout, stderr = job("""
        print('to stdout')
        print('a bar: 1%\\r\\na bar: 2%\\ra bar: 3%\\nno end', end='', file=sys.stderr)
        """).finish()
    assert (code, stdout) == (0, 'to stdout\n')
    assert '[1] a bar: 1%\n' in stderr and '[1] a bar: 3%\n' in stderr and '[1] no end\n' in stderr
    rest = re.sub(r'(?m)^\[1\].*\n', '', stderr)
    assert 'to stdout' not in stderr and rest.startswith('a bar: 1%')


def test_a_terminal_stays_one_for_the_first_worker(job):
    """So that it draws its progress bar there."""
    ours, theirs = pty.openpty()
    one = job('note(f"tty-{number}.txt", [sys.stdin.isatty(), sys.stdout.isatty()])', stdout=theirs)
    assert one.finish()[0] == 0
    os.close(ours)
    os.close(theirs)
    assert [(one.folder / f'tty-{number}.txt').read_text() for number in range(2)] == [
        '[False, True]',
        '[False, False]',
    ]


def test_a_reader_that_does_not_read_holds_nothing_up(job):
    one = job("""
        if number:
            time.sleep(1)
            sys.exit(7)
        while True:
            print('x' * 1000)""")
    assert one.process.wait(timeout=60) == 7  # nobody reads yet
    assert one.finish()[0] == 7


def test_a_reader_that_reads_slowly_gets_everything(job):
    one = job("print(100_000 * 'x')")
    one.wait_for('worker-0')
    time.sleep(3)  # longer than there is patience with anything else
    assert one.finish() == (0, 100_000 * 'x' + '\n', '')


def test_an_output_that_is_kept_open_holds_nothing_up(job):
    """By a process in a session of its own, which is not the job's any more."""
    one = job("""
        note(f'daemon-{number}.txt', subprocess.Popen(
            [sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True).pid)""")
    try:
        assert one.finish()[0] == 0
    finally:
        for number in range(2):
            os.kill(int((one.folder / f'daemon-{number}.txt').read_text()), signal.SIGKILL)


def test_a_reader_that_is_gone_is_gone_for_the_worker(job):
    one = job("""
        try:
            while number == 0:
                print('x' * 1000)
        except BrokenPipeError:
            os._exit(0)""")
    assert one.process.stdout.readline() == 'x' * 1000 + '\n'
    one.process.stdout.close()
    one.process.stdout = None
    assert one.finish()[0] == 0


@pytest.mark.parametrize('given', [{}, {'OMP_THREAD_LIMIT': '7'}])
def test_what_a_worker_finds_in_its_environment(job, monkeypatch, given):
    for name in os.environ:  # a command that ran in this process has left its own
        if name.startswith('OMP'):
            monkeypatch.delenv(name)
    code, stdout, _ = job(
        'print(*(f"{name}={os.environ.get(name)}" for name in sorted({*os.environ, "DMLC_RANK"}) '
        'if name.startswith(("DMLC", "OMP", "PORT"))), sep="\\n")',
        '-n',
        '2',
        '-s',
        '3',
        environment={'DMLC_RANK': '5', 'DMLC_USE_KUBERNETES': '1', **given},
    ).finish()
    found = dict(line.split('=') for line in stdout.splitlines())
    ports = int(found.pop('PORT')), int(found.pop('DMLC_PS_ROOT_PORT'))
    assert code == 0 and len(set(ports)) == 2 and all(10_000 <= port < 32_768 for port in ports)
    assert found == {
        'DMLC_ROLE': 'worker',
        'DMLC_NUM_WORKER': '2',
        'DMLC_NUM_SERVER': '3',
        'DMLC_PS_ROOT_URI': '127.0.0.1',
        'DMLC_NODE_HOST': '127.0.0.1',
        'DMLC_TASK_ID': '0',
        'DMLC_RANK': 'None',
        'OMP_THREAD_LIMIT': given.get('OMP_THREAD_LIMIT', str(max(1, num_cores() // 2))),
    }


@pytest.mark.parametrize(
    'variables', [{}, Cluster(1, 1, '127.0.0.1', 9000).variables('worker'), {'DMLC_ROLE': 'server'}]
)
def test_a_server_without_its_variables_says_which(variables):
    environment = {name: value for name, value in os.environ.items() if 'DMLC' not in name}
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.launch.cluster'],
        cwd=ROOT,
        env={**environment, **variables},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (2, '')
    assert re.fullmatch(
        r'error: expected DMLC_ROLE=scheduler or server and DMLC_PS_ROOT_URI, .*; '
        r'python -m d2l_seq2seq.launch --print-env writes them\n',
        result.stderr,
    )


def test_free_ports_are_in_order_and_free():
    ports = free_ports('127.0.0.1', 50)
    assert ports == sorted(set(ports)) and len(ports) == 50


def test_ports_that_are_taken_are_no_free_ones(monkeypatch):
    (port,) = free_ports('127.0.0.1', 1)
    monkeypatch.setattr(cluster, '_PORTS', range(port, port + 1))
    assert free_ports('127.0.0.1', 1) == [port]
    with pytest.raises(InputError, match=f'expected 1 free ports from {port} to {port}, got 0'):
        free_ports('127.0.0.1', 1, taken=port)
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', port))
        listener.listen()
        with pytest.raises(InputError, match=f'expected 1 free ports from {port} to {port}, got 0'):
            free_ports('127.0.0.1', 1)


def variables_after(text):
    """The job's variables in a shell that was told what --print-env writes."""
    result = subprocess.run(['sh', '-c', f'{text}\nenv'], capture_output=True, text=True, env={})
    assert result.stderr == ''
    return {line for line in result.stdout.splitlines() if line.startswith('DMLC')}


ADDRESS = ['-n', '4', '-s', '2', '--host', '10.0.0.5', '--port', '9000', '--print-env']


@pytest.mark.parametrize('role', launch.ROLES)
def test_print_env(capsys, role):
    assert launch.main([*ADDRESS, role, '--', 'python', 'my script.py']) == 0
    text = capsys.readouterr().out
    assert variables_after(text) == {
        f'{name}={value}' for name, value in Cluster(4, 2, '10.0.0.5', 9000).variables(role).items()
    }
    assert ("python 'my script.py'" in text) is (role == 'worker')
    assert 'private network' in text


def test_print_env_of_all(capsys):
    launch.main(ADDRESS)
    text = capsys.readouterr().out
    blocks = text.split('\n\n')[1:]
    assert [re.search('DMLC_ROLE=(.*)', block).group(1) for block in blocks] == list(launch.ROLES)
    assert all(line.startswith(('# ', 'export ')) or line == '' for line in text.splitlines())


def test_print_env_of_a_scheduler_with_a_name(capsys):
    """Which ps-lite can connect to, but not listen on."""
    launch.main(['--host', 'head.example', '--port', '9000', '--print-env'])
    scheduler, *others = capsys.readouterr().out.split('\n\n')[1:]
    assert 'DMLC_USE_KUBERNETES=1' in variables_after(scheduler)
    assert 'DMLC_PS_ROOT_URI=head.example' in variables_after(others[0])
    assert not any('DMLC_USE_KUBERNETES' in block for block in others)


@pytest.mark.parametrize(
    'arguments, message',
    [
        ([], 'expected a command behind --, got none; type'),
        (['--'], 'expected a command behind --, got none; type'),
        (['-n', '2', 'echo'], 'unrecognized arguments: echo'),
        (['-n', '0', '--', 'true'], "expected a whole number from 1 to 1024, got '0'"),
        (['-s', '0', '--', 'true'], "expected a whole number from 1 to 1024, got '0'"),
        (['-n', 'two', '--', 'true'], "expected a whole number from 1 to 1024, got 'two'"),
        (['--', 'no-such-command'], 'no-such-command: expected a command'),
        (['--', str(ROOT / 'README.md')], 'nor a file that can be run'),
        (
            ['--host', '203.0.113.9', '--', 'true'],
            '--host 203.0.113.9: expected an IPv4 address or',
        ),
        (['--host', '0.0.0.0', '--', 'true'], 'got all of them'),
        (['--port', '70000', '--', 'true'], 'expected a whole number from 1 to 65535'),
        (['--start-timeout', '-1', '--', 'true'], "expected a number above 0, or 'none', got '-1'"),
        (['--stop-timeout', 'no', '--', 'true'], "expected a number above 0, got 'no'"),
        (['--print-env'], '--print-env: expected --host and --port with it'),
        (['--print-env', 'boss'], 'invalid choice'),
        (['--print-env', '--host', '0.0.0.0', '--port', '9000'], '--host 0.0.0.0: expected'),
        (['--print-env', '--host', '$(id)', '--port', '9000'], '--host $(id): expected'),
    ],
)
def test_mistakes_get_one_line(arguments, message, capsys):
    with pytest.raises((InputError, SystemExit)) as stop:
        launch.main(arguments)
    error = capsys.readouterr().err or str(stop.value)
    assert message in error and error.strip().count('\n') == 0
    assert isinstance(stop.value, InputError) or stop.value.code == 2


def test_a_port_in_use(job):
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        port = listener.getsockname()[1]
        code, stdout, stderr = job('pass', '--port', str(port)).finish()
    assert (code, stdout) == (2, '') and stderr.count('\n') == 1
    assert stderr.startswith(f'error: --port {port}: expected a port to listen on at 127.0.0.1')


def test_a_port_that_is_free(job):
    (port,) = free_ports('127.0.0.1', 1)
    one = job("print(os.environ['DMLC_PS_ROOT_PORT'])", '--host', 'localhost', '--port', str(port))
    assert one.finish() == (0, f'{port}\n', '')


def test_a_command_that_turns_out_to_be_none(job, tmp_path):
    program = tmp_path / 'program.txt'
    program.write_text('neither a script nor a binary')
    program.chmod(0o755)
    one = subprocess.run(
        [sys.executable, '-c', DRIVER, SERVE, '--', str(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, 'NOTES': str(tmp_path)},
    )
    assert one.returncode == 2
    assert one.stderr.startswith(f'error: {program}: expected') and one.stderr.count('\n') == 1


ADD_UP = """
import os, sys, traceback
from d2l_seq2seq._mxnet import mx
try:
    store = mx.kv.create('dist_sync')
    store.init('sum', mx.nd.zeros(2))
    store.push('sum', mx.nd.full(2, store.rank + 1))
    total = mx.nd.zeros(2)
    store.pull('sum', out=total)
    print('rank', store.rank, 'task', os.environ['DMLC_TASK_ID'], *total.asnumpy())
    store._barrier()
    sys.exit(5 if 'fail' in sys.argv and store.rank == 1 else 0)
except BaseException as error:
    if not isinstance(error, SystemExit) or error.code:
        os._exit(5)  # without waiting for the others
"""


def run_of_mxnet(*arguments):
    return subprocess.run(
        [
            sys.executable,
            '-m',
            'd2l_seq2seq.launch',
            '--all-output',
            '--',
            sys.executable,
            '-c',
            ADD_UP,
            *arguments,
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=300,
    )


@pytest.mark.distributed
def test_two_workers_add_up():
    result = run_of_mxnet()
    assert (result.returncode, result.stderr) == (0, '')
    assert sorted(result.stdout.splitlines()) == [
        '[0] rank 0 task 0 3.0 3.0',
        '[1] rank 1 task 1 3.0 3.0',
    ]


@pytest.mark.distributed
def test_a_worker_that_fails_ends_mxnets_job():
    result = run_of_mxnet('fail')
    assert result.returncode == 5
    assert re.fullmatch(
        r'error: worker 1 \(process \d+\) ended with exit code 5; ending the '
        r'others\n',
        result.stderr,
    )


@pytest.mark.slow
@pytest.mark.distributed
def test_a_worker_that_opens_no_store_is_named():
    """While the other one waits for it."""
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'd2l_seq2seq.launch',
            '--start-timeout',
            '30',
            '--',
            'sh',
            '-c',
            f'if [ $DMLC_TASK_ID = 1 ]; then sleep 600; else exec {sys.executable} -c "$0"; fi',
            ADD_UP,
        ],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert result.returncode == 124
    assert 'not formed in 30 s: worker 1 did not reach the scheduler' in result.stderr
