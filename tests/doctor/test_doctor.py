"""``python -m d2l_seq2seq.doctor`` as a user types it, and what it makes of findings."""

import os
import re
import subprocess
import sys

import pytest

from d2l_seq2seq import doctor
from d2l_seq2seq.doctor.report import BROKEN, INFO, OK, WARNING, Finding

from conftest import ROOT


def printed(monkeypatch, capsys, *findings):
    """The exit code, and the lines printed."""
    monkeypatch.setattr(doctor, 'diagnose', lambda: iter(findings))
    code = doctor.main([])
    return code, capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    'severities, code, last',
    [
        ([OK, INFO], 0, 'all is well'),
        ([OK, WARNING], 0, '1 warning'),
        ([WARNING, WARNING], 0, '2 warnings'),
        ([BROKEN, OK], 1, '1 thing is broken'),
        ([BROKEN, WARNING, BROKEN], 1, '2 things are broken, 1 warning'),
    ],
)
def test_the_last_line_and_the_exit_code(monkeypatch, capsys, severities, code, last):
    findings = [Finding('thing', severity, 'is so') for severity in severities]
    got, lines = printed(monkeypatch, capsys, *findings)
    assert (got, lines[-1], len(lines)) == (code, last, len(findings) + 1)


def test_lines_are_aligned_and_remedies_stand_beneath(monkeypatch, capsys):
    _, lines = printed(
        monkeypatch,
        capsys,
        Finding('mxnet', BROKEN, 'is gone', 'type: pip'),
        Finding('features', OK, 'are there'),
    )
    assert lines[:3] == [
        'broken   mxnet     is gone',
        '                   -> type: pip',
        'ok       features  are there',
    ]


def test_the_home_folder_is_not_told(monkeypatch, capsys):
    monkeypatch.setenv('HOME', '/home/somebody')
    _, lines = printed(
        monkeypatch,
        capsys,
        Finding('disk', OK, 'in /home/somebody/runs', 'rm /home/somebody/x /home/somebodyelse'),
    )
    assert lines[0].endswith('in ~/runs') and lines[1].endswith('rm ~/x /home/somebodyelse')
    _, lines = printed(
        monkeypatch,
        capsys,
        Finding('disk', OK, 'free in /home/somebody, where', 'rm /mnt/home/somebody/x'),
    )
    assert lines[0].endswith('in ~, where') and lines[1].endswith('rm /mnt/home/somebody/x')
    monkeypatch.setenv('HOME', '/')
    assert printed(monkeypatch, capsys, Finding('disk', OK, 'in /runs'))[1][0].endswith('in /runs')


@pytest.mark.parametrize('has_corpus', [False, True])
def test_a_real_run(tmp_path, has_corpus):
    named = os.environ.get('D2L_SEQ2SEQ_DATA') if has_corpus else str(tmp_path / 'missing')
    if named is None:
        pytest.skip('the real corpus is not here')
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.doctor'],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT), 'D2L_SEQ2SEQ_DATA': named},
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
    assert re.search(r"\d\.\d ms a batch of the chapter's training on [cg]pu\(0\)", speed)
    (corpus,) = [line for line in lines if re.match(r'\w+ +corpus ', line)]
    assert corpus.startswith('ok') == has_corpus
    assert re.fullmatch(r'all is well|1 warning|\d warnings', last)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_option():
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.doctor', '--fast'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1
