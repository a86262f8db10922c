"""The metrics of a run: whatever the file holds is the metrics of epochs in order, or refused."""

import json
import logging

import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq.runs import metrics
from d2l_seq2seq.runs.metrics import check_metrics, read_metrics


def row(epoch, **values):
    return {'epoch': epoch, 'book_loss': 0.5, 'nll_per_token': 1.5, 'lr': 1, **values}


def write(path, rows):
    path.write_text(''.join(f'{json.dumps(row)}\n' for row in rows))
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'metrics.jsonl'


def test_the_rows_are_read_back(path):
    assert read_metrics(path) == []
    rows = [row(1), row(2, valid_bleu=12.5)]
    assert read_metrics(write(path, rows)) == rows


@pytest.mark.parametrize(
    'epochs, message',
    [
        ([2, 1], 'expected the epochs in order, got epoch 1 after epoch 2'),
        ([1, 2, 2], 'expected the epochs in order, got epoch 2 after epoch 2'),
        ([0], 'a number out of range'),
        ([-3], 'a number out of range'),
    ],
)
def test_epochs_out_of_order_are_refused(path, epochs, message):
    with pytest.raises(InputError, match=f'{message}.*Restore the file, or remove it to continue'):
        read_metrics(write(path, map(row, epochs)))


@pytest.mark.parametrize('value', ['x', None, [], {}, True, 1e999, 10**400, '9' * 50])
@pytest.mark.parametrize('name', ['epoch', 'nll_per_token', 'valid_nll_per_token', 'anything'])
def test_values_that_are_not_numbers_are_refused(path, name, value):
    write(path, [row(1), {**row(2), name: value}])
    path.write_text(path.read_text().replace('Infinity', '1e999'))
    with pytest.raises(InputError, match=r'metrics\.jsonl: expected .*Restore the file'):
        read_metrics(path)


def test_a_file_that_is_too_long_is_refused(path, monkeypatch):
    write(path, [row(1), row(2)])
    monkeypatch.setattr(metrics, '_MAX_BYTES', path.stat().st_size)
    assert len(read_metrics(path)) == 2
    monkeypatch.setattr(metrics, '_MAX_BYTES', path.stat().st_size - 1)
    with pytest.raises(InputError, match='expected at most .* bytes, got more'):
        read_metrics(path)


@pytest.mark.parametrize(
    'epochs, done, missing',
    [
        ([1, 2, 3], 3, None),
        ([1, 2, 3], 2, None),  # the last one is trained again
        ([1, 2], 0, None),
        ([], 0, None),
        ([], 1, '1'),
        ([], 8, '1 to 8'),
        ([1, 2], 4, '3 to 4'),
        ([3, 4], 4, '1 to 2'),
        ([2, 3, 6, 7, 8, 9], 8, '1, 4 to 5'),
    ],
)
def test_epochs_that_are_missing_are_named(path, caplog, epochs, done, missing):
    with caplog.at_level(logging.WARNING):
        check_metrics(path, list(map(row, epochs)), done)
    assert [record.getMessage() for record in caplog.records] == (
        []
        if missing is None
        else [
            f'{path}: epochs {missing} are missing, of the {done} that are done; the record and '
            'its plot remain incomplete'
        ]
    )


@pytest.mark.parametrize('epochs, done, expected', [([1, 2, 900], 2, 3), ([2], 0, 1)])
def test_later_epochs_without_the_next_one_are_refused(path, epochs, done, expected):
    """Otherwise the epochs in between would not be recorded."""
    message = f'expected epoch {expected} next, because {done} are done at the latest checkpoint'
    with pytest.raises(InputError, match=message):
        check_metrics(path, list(map(row, epochs)), done)
