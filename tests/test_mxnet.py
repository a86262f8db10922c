"""MXNet is found once, or one line says what to type."""
import subprocess
import sys

import numpy as onp
import pytest

from conftest import ROOT
from d2l_seq2seq import _mxnet


def test_one_wheel_is_fine():
    _mxnet._check_wheels(['mxnet'], module_is_there=True)
    _mxnet._check_wheels([], module_is_there=True)  # built from source


def test_no_mxnet_says_what_to_type():
    with pytest.raises(ImportError, match='not installed; type: pip install mxnet==1.9.1'):
        _mxnet._check_wheels([], module_is_there=False)


def test_two_wheels_say_what_to_type():
    with pytest.raises(ImportError, match='pip uninstall -y mxnet mxnet-cu112; then'):
        _mxnet._check_wheels(['mxnet', 'mxnet-cu112'], module_is_there=True)


def test_this_environment_has_one_wheel():
    assert len(_mxnet._installed_wheels()) == 1


def test_a_command_without_mxnet_exits_with_one_line(tmp_path):
    hide = ("import importlib.util, sys\nfind = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, *rest: "
            "None if name == 'mxnet' else find(name, *rest)\n"
            'from d2l_seq2seq import command_line, train\n'
            f"sys.argv = ['train', '--corpus', 'bundled', '--out', {str(tmp_path / 'run')!r}]\n"
            'command_line.run(train.main)')
    result = subprocess.run([sys.executable, '-c', hide], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.startswith('error: MXNet is not installed; type: pip install')
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / 'run').exists()


def test_seeding_fixes_both_generators():
    def draw():
        _mxnet.seed_generators(7)
        return _mxnet.np.random.uniform(size=3).tolist(), onp.random.rand(3).tolist()

    assert draw() == draw()
