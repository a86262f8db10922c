"""The command ``reproduce``."""

import pytest

from d2l_seq2seq import InputError, reproduce
from d2l_seq2seq.reproduce import seq2seq, seq2seq_attention, transformer
from d2l_seq2seq.reproduce.cells import Cell


@pytest.fixture
def untrained(monkeypatch):
    """Replace the training by cells that a test can append."""
    cells = []
    for module in (seq2seq, seq2seq_attention, transformer):
        monkeypatch.setattr(module, 'training_cells', lambda *args: cells)
    return cells


def test_the_exit_code_is_1_if_a_cell_differs(untrained, capsys):
    assert reproduce.main(['--corpus', 'bundled']) == 0
    out = capsys.readouterr().out
    assert out.startswith('d2l 0.14, section 9.7: sequence to sequence\ncorpus bundled, seed 0\n')
    assert out.endswith(
        "all 6 judged cells agree; the output that depends on the book's corpus is not compared\n"
    )
    untrained.append(Cell('Go .', 'va !', 'pars !', False))
    assert reproduce.main(['--corpus', 'bundled']) == 1
    out = capsys.readouterr().out
    assert 'DIFFERS' in out and out.endswith('1 of 7 cells differ: Go .\n')


def test_all_prints_a_table_for_each_section(fra_eng, untrained, capsys):
    assert reproduce.main(['--section', 'all', '--corpus', 'fra-eng', '--device', 'cpu']) == 0
    out = capsys.readouterr().out
    numbers = [line.split()[3] for line in out.splitlines() if line.startswith('d2l 0.14, section')]
    assert numbers == ['9.5:', '9.6:', '9.7:', '10.1:', '10.2:', '10.3:']
    assert 'No cell of this section prints anything.' in out
    assert out.count('| verdict') == 5  # one table each
    assert out.endswith('all 27 judged cells agree\n')


def test_the_seed_is_passed_to_the_sections(monkeypatch, capsys):
    seeds = []
    monkeypatch.setattr(
        seq2seq, 'section_cells', lambda settings: seeds.append(settings.seed) or []
    )
    reproduce.main(['--corpus', 'bundled', '--seed', '7'])
    assert seeds == [7] and 'seed 7' in capsys.readouterr().out


@pytest.mark.parametrize('device', ['cpu,cpu(1)', 'cpu, cpu', 'tpu'])
def test_one_device_is_expected(device):
    with pytest.raises(InputError, match='expected one device'):
        reproduce.main(['--device', device, '--corpus', 'bundled', '--section', 'attention'])


def test_an_unknown_section(capsys):
    with pytest.raises(SystemExit) as stop:
        reproduce.main(['--section', '10.2'])
    assert stop.value.code == 2 and 'seq2seq-attention' in capsys.readouterr().err
