"""The command ``python -m d2l_seq2seq.doctor``: its output, its exit code, and a real run."""

import os
import re
import subprocess
import sys

import pytest

from d2l_seq2seq import doctor
from d2l_seq2seq.doctor.report import BROKEN, INFO, OK, WARNING, Finding

from conftest import ROOT


def run_doctor(monkeypatch, capsys, *findings):
    """Return the exit code and the printed lines for some findings."""
    monkeypatch.setattr(doctor, 'diagnose', lambda: iter(findings))
    code = doctor.main([])
    return code, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    'severities, code, last',
    [
        ([OK, INFO], 0, 'no problems found'),
        ([OK, WARNING], 0, '1 warning'),
        ([WARNING, WARNING], 0, '2 warnings'),
        ([BROKEN, OK], 1, '1 broken'),
        ([BROKEN, WARNING, BROKEN], 1, '2 broken, 1 warning'),
    ],
)
def test_summary_and_exit_code(monkeypatch, capsys, severities, code, last):
    findings = [Finding('subject', severity, 'text') for severity in severities]
    exit_code, lines = run_doctor(monkeypatch, capsys, *findings)
    assert (exit_code, lines[-1], len(lines)) == (code, last, len(findings) + 1)


def test_columns_are_aligned_and_hints_are_below(monkeypatch, capsys):
    _, lines = run_doctor(
        monkeypatch,
        capsys,
        Finding('mxnet', BROKEN, 'is missing', 'Type: pip'),
        Finding('features', OK, 'are present'),
    )
    assert lines[:3] == [
        'broken   mxnet     is missing',
        '                   -> Type: pip',
        'ok       features  are present',
    ]


def test_home_folder_is_hidden(monkeypatch, capsys):
    monkeypatch.setenv('HOME', '/home/somebody')
    _, lines = run_doctor(
        monkeypatch,
        capsys,
        Finding('disk', OK, 'in /home/somebody/runs', 'rm /home/somebody/x /home/somebodyelse'),
    )
    assert lines[0].endswith('in ~/runs') and lines[1].endswith('rm ~/x /home/somebodyelse')
    _, lines = run_doctor(
        monkeypatch,
        capsys,
        Finding('disk', OK, 'free in /home/somebody, where', 'rm /mnt/home/somebody/x'),
    )
    assert lines[0].endswith('in ~, where') and lines[1].endswith('rm /mnt/home/somebody/x')
    monkeypatch.setenv('HOME', '/')
    _, lines = run_doctor(monkeypatch, capsys, Finding('disk', OK, 'in /runs'))
    assert lines[0].endswith('in /runs')


@pytest.mark.parametrize('has_corpus', [False, True])
def test_real_run(tmp_path, has_corpus):
    path = os.environ.get('D2L_SEQ2SEQ_DATA') if has_corpus else str(tmp_path / 'missing')
    if path is None:
        pytest.skip("the book's corpus is not available")
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.doctor'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'D2L_SEQ2SEQ_DATA': path},
        timeout=300,
    )
    assert (result.returncode, result.stderr) == (0, '')
    *lines, last = result.stdout.splitlines()
    subjects = [line.split()[1] for line in lines if not line.startswith(' ')]
    assert list(dict.fromkeys(subjects)) == [
        'package',
        'python',
        'packages',
        'threads',
        'mxnet',
        'features',
        'devices',
        'numbers',
        'd2l',
        'speed',
        'corpus',
        'disk',
        'memory',
    ]
    (speed,) = [line for line in lines if re.match(r'\w+ +speed ', line)]
    assert re.search(r"\d\.\d ms per batch of the chapter's model on [cg]pu\(0\)", speed)
    (corpus,) = [line for line in lines if re.match(r'\w+ +corpus ', line)]
    assert corpus.startswith('ok') == has_corpus
    assert re.fullmatch(r'no problems found|1 warning|\d warnings', last)
    assert list(tmp_path.iterdir()) == []


def test_unknown_option():
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.doctor', '--fast'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
