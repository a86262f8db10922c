"""The book's own cells, run with this package, and the script that runs them."""

import os
import subprocess

import book_cells
import pytest

from d2l_seq2seq.book.editions import LATER_NAMES
from d2l_seq2seq.book.fra_eng import read_available_text

VARIABLE = 'D2L_BOOK_CHECKOUT'


@pytest.fixture(scope='session')
def checkout():
    """Return the clone of the book that the variable names."""
    if VARIABLE not in os.environ:
        pytest.skip(
            f"the book's cells are not available: set {VARIABLE} to a clone of d2l-ai/d2l-en; "
            'see tests/book_cells.py'
        )
    return os.environ[VARIABLE]


# The book's cells


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize('replacement', book_cells.REPLACEMENTS)
@pytest.mark.parametrize('corpus', ['fra-eng', 'bundled'])
def test_all_cells_run_and_print_what_the_book_printed(
    checkout, request, monkeypatch, replacement, corpus
):
    if corpus == 'fra-eng':
        request.getfixturevalue('fra_eng')  # skips the test if there is none
    else:
        monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    assert read_available_text()[0] == corpus
    settings = book_cells.Settings('v0.14.0', replacement, corpus, num_epochs=1, seed=0)
    rows = [
        row
        for section in book_cells.SECTIONS
        for row in book_cells.run_section(
            section, book_cells.read_cells(checkout, 'v0.14.0', section), settings
        )
    ]
    assert len(rows) == 60
    wrong = [row for row in rows if row.verdict not in ('ok', 'not judged')]
    assert not wrong, book_cells.table(wrong)
    # The other verdicts are on random output: three trainings and three sets of translations.
    num_of_corpus = 0 if corpus == 'fra-eng' else 5
    assert sum(row.verdict == 'ok' for row in rows) == 60 - 6 - num_of_corpus


@pytest.mark.peer
@pytest.mark.slow
@pytest.mark.parametrize('tag', book_cells.TAGS[1:])
def test_the_cells_of_the_following_releases_run_as_well(checkout, fra_eng, tag):
    settings = book_cells.Settings(tag, book_cells.REPLACEMENTS[0], 'fra-eng', 1, seed=0)
    rows = [
        row
        for section in ('9.7', '10.1', '10.2', '10.3')  # the others are the same as in 0.14.0
        for row in book_cells.run_section(
            section, book_cells.read_cells(checkout, tag, section), settings
        )
    ]
    wrong = [row for row in rows if row.verdict not in ('ok', 'not judged')]
    assert len(rows) == 47 and not wrong, book_cells.table(wrong)


@pytest.mark.peer
@pytest.mark.parametrize('name', LATER_NAMES)
def test_later_names_are_new_in_the_edition_that_the_table_gives(checkout, name):
    """In the first release of the edition that is tagged; 1.0 has no release before 1.0.3."""
    edition, _ = LATER_NAMES[name]
    first = {'1.0': 'v1.0.3'}.get(edition, f'v{edition}.0')
    before = {'0.15': 'v0.14.4', '0.16': 'v0.15.1', '0.17': 'v0.16.6', '1.0': 'v0.17.6'}[edition]

    def is_defined(tag, frameworks):
        pattern = rf'^(def|class) {name}\b'
        files = [f'd2l/{framework}.py' for framework in frameworks]
        command = ['git', '-C', checkout, 'grep', '-qE', pattern, tag, '--', *files]
        return subprocess.run(command).returncode == 0

    assert is_defined(first, ['mxnet', 'torch'])
    assert not is_defined(before, ['mxnet'])


# The script, on a small section that is written here

SECTION = """
# Title

```{.python .input}
from d2l import mxnet as d2l
```

```{.python .input}
#@tab pytorch
raise SystemError('another framework')
```

```{.python .input}
#@tab all
%matplotlib inline
lr, num_epochs = 0.1, 300
d2l.truncate_pad([7, 8], 3, 1)
```

```{.python .input}
#@tab mxnet, pytorch
print('epochs', num_epochs)
num_epochs;
```

Text with ```code``` and a block in another language:

```text
print('no cell')
```

```{.python .input}
d2l.no_such_name
```
"""


def test_the_cells_of_a_section():
    cells = book_cells.cells_of(SECTION)
    assert [cell.splitlines()[0] for cell in cells] == [
        'from d2l import mxnet as d2l',
        '#@tab all',
        '#@tab mxnet, pytorch',
        'd2l.no_such_name',
    ]
    assert '%' not in cells[1]


@pytest.mark.parametrize('replacement', book_cells.REPLACEMENTS)
@pytest.mark.parametrize('num_epochs, expected', [(2, 'epochs 2'), (None, 'epochs 300')])
def test_the_script_runs_and_judges_cells(
    monkeypatch, tmp_path, capsys, replacement, num_epochs, expected
):
    """A checkout of one commit whose sections are all the same small one."""
    for path in book_cells.SECTIONS.values():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(SECTION)
    identity = ['-c', 'user.name=Test', '-c', 'user.email=test@localhost']
    for command in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'x'], ['tag', 'v0.14.0']):
        subprocess.run(['git', '-C', tmp_path, *identity, *command], check=True)
    printed = {2: book_cells.Printed('[7, 8, 1]'), 3: book_cells.Printed('epochs 3')}
    monkeypatch.setitem(book_cells.PRINTED, '9.6', printed)
    monkeypatch.delenv('D2L_SEQ2SEQ_DATA', raising=False)
    length = ['--full'] if num_epochs is None else ['--num-epochs', str(num_epochs)]
    arguments = [str(tmp_path), '--sections', '9.6', '--import', replacement, *length]
    assert book_cells.main(arguments) == 1
    output = capsys.readouterr().out
    verdicts = [line.rsplit(' | ', 1)[-1] for line in output.splitlines() if '9.6 ' in line]
    assert verdicts == ['ok', 'ok', 'DIFFERS', 'FAILED']
    assert expected in output and 'no_such_name' in output
    assert '2 of 4 cells run and do not differ' in output


def test_a_folder_without_the_book_is_one_line(tmp_path, capsys):
    assert book_cells.main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f'error: {tmp_path}: expected a clone of d2l-ai/d2l-en with the tag')
    assert error.count('\n') == 1


@pytest.mark.parametrize(
    'book, ours, agree, same_form',
    [
        ('array([[1., 0.]])', 'array([[1. , 0. ]])', True, True),
        ('array([2.3025851, 0.])', 'array([2.302588, 0.      ])', True, True),
        ('array([2.3025851, 0.])', 'array([2.3027, 0.])', False, True),
        ('array([1e-4])', 'array([1.1e-4])', False, True),
        ('array([0.])', 'array([0.1])', False, True),
        ('(2, 4)', '(2, 4, 1)', False, False),
        ('[[ 5 21]\n [12  0]]', '[[5 21] [12 0]]', True, True),
        ('[[1 2]]', '[[1 -2]]', False, True),
        ('va !', 'va\u202f!', True, True),
        ('Va !', 'va !', False, False),
    ],
)
def test_comparing_outputs(book, ours, agree, same_form):
    assert book_cells.numbers_agree(book, ours) == agree
    assert book_cells.forms_agree(book, ours) == same_form


@pytest.mark.parametrize(
    'num_epochs, corpus, loss, verdict',
    [
        (None, 'fra-eng', 'loss 0.026, 12.5 tokens/sec on cpu(0)', 'ok'),
        (None, 'fra-eng', 'loss 0.126, 12.5 tokens/sec on cpu(0)', 'DIFFERS'),
        (None, 'bundled', 'loss 0.126, 12.5 tokens/sec on cpu(0)', 'not judged'),
        (2, 'fra-eng', 'loss 0.126, 12.5 tokens/sec on gpu(1)', 'not judged'),
        (2, 'fra-eng', 'loss nan, 12.5 tokens/sec on gpu(1)', 'DIFFERS'),
        (2, 'fra-eng', '', 'DIFFERS'),
    ],
)
def test_judging_a_training(num_epochs, corpus, loss, verdict):
    settings = book_cells.Settings('v0.14.0', '', corpus, num_epochs, seed=0)
    printed = book_cells.printed_by_book('v0.14.0', '9.7', 12)
    assert book_cells.judge('9.7', printed, loss, settings) == verdict


def test_the_translations_are_judged_by_the_published_ones():
    settings = book_cells.Settings('v0.14.0', '', 'fra-eng', None, seed=0)
    printed = book_cells.printed_by_book('v0.14.0', '9.7', 14)
    good = "Go . => va !\nWow ! => <unk> !\nI'm OK . => ça va .\nI won ! => j'ai gagné !\n"
    assert book_cells.judge('9.7', printed, good, settings) == 'ok'
    for bad in (
        good.replace('va !', 'entrez !'),
        good.replace("j'ai gagné !", ''),
        'Go . => va !',
        '',
    ):
        assert book_cells.judge('9.7', printed, bad, settings) == 'DIFFERS'
    short = book_cells.Settings('v0.14.0', '', 'fra-eng', 1, seed=0)
    nothing = "Go . => \nWow ! => \nI'm OK . => \nI won ! => \n"
    assert book_cells.judge('9.7', printed, nothing, short) == 'not judged'
