"""Loading mutated run folders; the mutations are in `fuzz_loader.py`."""

import json
import os
import random
import subprocess
import sys

import pytest

from conftest import ROOT


@pytest.mark.parametrize('count', [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_folders_are_refused_or_valid(count):
    seed = int(os.environ.get('MXNET_TEST_SEED', random.randrange(2**31)))
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tests' / 'fuzz_loader.py'), str(count), str(seed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, f'MXNET_TEST_SEED={seed} {result.stderr[-2000:]}'
    counts = json.loads(result.stdout)
    assert counts['refused']['damaged'] == count // 2 and counts['loaded']['damaged'] == 0
    # Some hostile folders are valid: a flipped bit of a weight gives another finite weight.
    assert counts['refused']['hostile'] > counts['loaded']['hostile'] > 0
    assert counts['peak_megabytes'] < 1000
