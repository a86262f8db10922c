"""A second of training at the chapter's size, timed by a clock that tests move."""

from types import SimpleNamespace

import pytest

from d2l_seq2seq import try_gpu
from d2l_seq2seq.doctor import machine


def test_a_machine_too_slow_for_a_second_is_measured(monkeypatch):
    monkeypatch.setattr(machine, 'SECONDS_OF_TRAINING', 0)
    assert machine.milliseconds_per_batch(try_gpu()) > 0


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(machine.time, 'perf_counter', lambda: self.now)


@pytest.mark.parametrize(
    'seconds, num_updates', [(0.01, 16 + 1 + 100), (0.3, 4 + 4), (5.0, 1 + 1)]
)  # first epoch, or its first second; second
def test_the_chapters_sizes_are_trained_on_for_a_second(monkeypatch, seconds, num_updates):
    clock, seen = Clock(monkeypatch), []

    def look(model, feed, num_epochs, lr, on_update):
        seen.append((len(feed), feed.batch_size, lr, model.encoder, model.decoder))
        for update in range(1, 1000):
            clock.now += seconds
            seen.append(update)
            on_update(
                SimpleNamespace(
                    epoch=(update - 1) // len(feed), optimizer=SimpleNamespace(num_updates=update)
                )
            )

    monkeypatch.setattr(machine, 'fit', look)
    assert machine.milliseconds_per_batch(try_gpu()) == pytest.approx(1000 * seconds)
    (num_batches, batch_size, lr, encoder, decoder), *updates = seen
    assert abs(len(updates) - num_updates) <= 1  # a sum of floats is a little off
    assert (num_batches, batch_size, lr) == (16, 64, 0.005)
    for block, vocab_size in ((encoder, 180), (decoder, 162)):  # the book's corpus's
        shapes = [parameter.shape for parameter in block.collect_params().values()]
        assert (vocab_size, 32) in shapes
