"""The Dockerfile, checked by a linter, because building it needs an engine for containers."""

import json
import platform
import re
import shutil
import subprocess
import sysconfig

import pytest

from conftest import ROOT

DOCKERFILE = ROOT / 'Dockerfile'


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='the linter has wheels for x86_64 only')
def test_the_linter_finds_nothing():
    hadolint = shutil.which('hadolint', path=sysconfig.get_path('scripts'))
    result = subprocess.run([hadolint, '--no-color', DOCKERFILE], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (0, '', '')


def test_it_sets_up_and_trains_with_the_commands_of_the_makefile():
    text = DOCKERFILE.read_text()
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    commands = re.findall(r'^RUN make (\S+)|^CMD \["make", "(\S+)"\]', text, re.MULTILINE)
    assert [a or b for a, b in commands] == ['venv', 'train'] and {'venv', 'train'} <= targets


def test_the_image_contains_nothing_that_git_ignores():
    ignored = (ROOT / '.dockerignore').read_text().splitlines()
    folders = [
        line.strip('/')
        for line in (ROOT / '.gitignore').read_text().splitlines()
        if line.endswith('/') and line != '/notebooks/runs/'
    ]
    for folder in folders:
        assert folder in ignored or f'**/{folder}' in ignored


def test_the_development_container_is_built_from_it():
    settings = json.loads((ROOT / '.devcontainer' / 'devcontainer.json').read_text())
    folder = ROOT / '.devcontainer'
    assert (folder / settings['build']['dockerfile']).resolve() == DOCKERFILE.resolve()
