"""Signals during a training: the first stops it in order, the second at once."""

import os
import signal
import subprocess
import sys
import time

from d2l_seq2seq import _signals
from d2l_seq2seq._signals import Interruption

from small_run import enable_sigint


def test_an_ignored_signal_stays_ignored():
    """A shell script starts background processes with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
            assert interruption.exit_code is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_signal_ends_the_process_at_once():
    """Even if the process never reacts to the first one."""
    code = (
        'import time\nfrom d2l_seq2seq._signals import Interruption\n'
        'with Interruption():\n    print("ready", flush=True)\n    time.sleep(60)\n'
        '    time.sleep(60)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, preexec_fn=enable_sigint
    )
    try:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        process.communicate()


def test_a_sigterm_from_two_senders_counts_once(monkeypatch):
    """A batch system sends it to all processes of a job, and the launcher passes it on."""
    ended = []
    monkeypatch.setattr(os, '_exit', ended.append)
    for echo, codes in ((3600, []), (0, [143])):
        monkeypatch.setattr(_signals, 'ECHO_SECONDS', echo)
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert (interruption.exit_code, ended) == (143, codes)
