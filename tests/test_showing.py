"""What a notebook shows."""

import inspect

import pytest
from matplotlib.figure import Figure

from d2l_seq2seq import Vocab, plotting, truncate_pad


@pytest.fixture
def shown(monkeypatch):
    """What is handed to the notebook."""
    found = []
    monkeypatch.setattr('IPython.display.display', found.append)
    return found


def test_code_is_shown_as_it_stands(shown):
    plotting.show_code(Vocab, truncate_pad)
    assert [output.data for output in shown] == [
        f'```python\n{inspect.getsource(definition)}```' for definition in (Vocab, truncate_pad)
    ]


def test_what_has_no_source_is_refused(shown):
    with pytest.raises(TypeError):
        plotting.show_code(3)


def test_a_figure_is_shown_as_one_picture(shown):
    plotting.show(Figure())
    (picture,) = shown
    assert picture.data.startswith('<svg')
