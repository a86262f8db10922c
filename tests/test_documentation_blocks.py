"""The rules for code blocks: none is left untested by accident, and a wrong output is noticed."""

import pytest
from test_documentation import PageRun, check_names

from documentation_blocks import read_blocks


@pytest.fixture
def write(tmp_path):
    def write_page(*blocks):
        page = tmp_path / 'page.md'
        page.write_text('# Title\n\n' + '\n\n'.join(blocks) + '\n', encoding='utf-8')
        return page

    return write_page


@pytest.fixture
def run(write, tmp_path, monkeypatch):
    def run_page(*blocks, is_small=True):
        (tmp_path / 'folder').mkdir()
        (tmp_path / 'ready').mkdir()
        PageRun(
            write(*blocks), tmp_path / 'folder', monkeypatch, tmp_path / 'ready', is_small
        ).run()

    return run_page


def fenced(language, code, comment=None):
    return (f'<!-- test: {comment} -->\n' if comment else '') + f'```{language}\n{code}\n```'


@pytest.mark.parametrize(
    'blocks, message',
    [
        ([fenced('', 'a')], 'expected one of the languages'),
        ([fenced('console', '$ ls')], 'expected one of the languages'),
        ([fenced('text', 'a')], 'output, but of which block'),
        ([fenced('sh', 'ls'), '## Next', fenced('text', 'a')], 'output, but of which block'),
        ([fenced('sh', 'ls'), fenced('text', 'a'), fenced('text', 'b')], 'output, but of which'),
        ([fenced('sh', 'ls', 'none')], 'needs a reason'),
        ([fenced('sh', 'ls', 'small-only')], 'needs a reason'),
        ([fenced('sh', 'ls', 'later')], 'is not known'),
        ([fenced('sh', 'ls', 'small: x -> y')], "'x' is not in the block"),
        ([fenced('sh', 'ls', 'file x')], 'needs a name and a json, toml or yaml block'),
        ([fenced('json', '{}', 'none: some reason')], 'is a file'),
        (['<!-- test: small -->', 'Text.'], 'expected a code block after'),
        (['```sh\nls'], 'not closed'),
    ],
)
def test_a_block_without_a_valid_decision(write, blocks, message):
    with pytest.raises(ValueError, match=message):
        read_blocks(write(*blocks))


def test_a_page_is_run_in_order(run):
    run(
        fenced('json', '{"a": 1}', 'file a.json'),
        fenced('python', 'import json\na = json.load(open("a.json"))["a"]'),
        fenced('python', '>>> a + 1\n2'),
        fenced('sh', "echo '.5 tokens/sec' > b.txt  # a comment\ncat \\\n  b.txt"),
        'It prints:',
        fenced('text', '1,234.5 tokens/sec'),
        fenced('sh', 'exit 3', 'none: for no reason'),
        fenced('sh', 'exit 3', 'slow'),
        fenced('sh', 'echo why >&2; exit 3', 'exit 3'),
        fenced('text', 'why'),
    )


@pytest.mark.parametrize(
    'blocks',
    [
        [fenced('sh', 'echo a'), fenced('text', 'b')],
        [fenced('python', 'print(1)'), fenced('text', '2')],
        [fenced('python', '>>> 1 + 1\n3')],
        [fenced('sh', 'exit 1')],
        [fenced('sh', 'exit 1\nexit 0')],
        [fenced('sh', 'exit 0', 'exit 2')],
    ],
)
def test_what_a_page_shows_wrongly_is_noticed(run, blocks):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(*blocks)


@pytest.mark.parametrize('is_small', [True, False])
def test_long_blocks_have_small_settings_in_the_fast_tests_only(run, tmp_path, is_small):
    run(fenced('sh', 'echo 300 > epochs', 'small: 300 -> 1'), is_small=is_small)
    assert (tmp_path / 'folder' / 'epochs').read_text() == ('1\n' if is_small else '300\n')


@pytest.mark.parametrize('line', ['d2l-seq2seq train --no-such', 'd2l-seq2seq go', 'make go'])
def test_names_that_do_not_exist(line):
    with pytest.raises(AssertionError):
        check_names(line, 'page.md:1')
