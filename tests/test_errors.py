"""Messages: any text is printed in one line of bounded length."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from d2l_seq2seq import InputError
from d2l_seq2seq.errors import MAX_HINT, MAX_PROBLEM, one_line
from d2l_seq2seq.runs.layout import read_run_config

# Unlike the default of `st.text`, these include halves of surrogate pairs.
ANY_TEXT = st.text(st.characters() | st.sampled_from('\n\r\t\x1b\x85\x9b\u2028\u202e\ud800\udce9'))


@given(ANY_TEXT, st.integers(20, 60))
def test_any_text_is_one_line(text, limit):
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert '\x1b' not in line and '\u202e' not in line
    line.encode()  # it has an encoding
    assert one_line(line, limit) == line


@pytest.mark.parametrize(
    'text', ['Va !', "j'ai gagné\u202f!", 'नमस्ते', 'مرحبا', '你好。', '👍🏽', r'C:\new']
)
def test_text_of_any_language_stays(text):
    assert one_line(text) == text


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_an_error_is_one_line_of_bounded_length(place, problem, hint):
    message = str(InputError(problem * 200, hint * 1000).within(place))
    assert len(message.splitlines()) <= 1
    assert len(message) <= MAX_PROBLEM + len('. ') + MAX_HINT


def test_a_key_of_many_letters_is_shortened(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps({'k' * 900_000 + '\x1b[2J': 1}))
    with pytest.raises(InputError) as error:
        read_run_config(tmp_path)
    message = str(error.value)
    assert len(message) < 2000
    assert message.startswith(str(tmp_path)) and message.endswith('k\\x1b[2J')


def test_warnings_of_a_command_are_one_line_each(tmp_path):
    name = 'a\nb\x1b[31m'
    (tmp_path / name).write_text('')
    result = subprocess.run(
        [sys.executable, '-m', 'd2l_seq2seq.translate', 'missing', name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    warning, error = result.stderr.splitlines()
    assert warning.startswith('a\\nb\\x1b[31m is the name of a file')
    assert error.startswith('error: missing: not a run folder')
