"""The loader against mutated folders; what is done is in `fuzz_loader.py`."""

import json
import os
import random
import subprocess
import sys

import pytest

from conftest import ROOT


@pytest.mark.parametrize('count', [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_folders_are_refused_or_make_sense(count):
    seed = int(os.environ.get('MXNET_TEST_SEED', random.randrange(2**31)))
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tests' / 'fuzz_loader.py'), str(count), str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f'MXNET_TEST_SEED={seed} {result.stderr[-2000:]}'
    found = json.loads(result.stdout)
    assert found['refused']['damaged'] == count // 2 and found['read']['damaged'] == 0
    # Both happen: a flipped bit of a weight is another weight, and a pickle is refused.
    assert found['refused']['hostile'] > found['read']['hostile'] > 0
    assert found['peak_megabytes'] < 1000
