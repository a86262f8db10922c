"""A second of training at the chapter's size, timed by a clock that the tests advance."""

from types import SimpleNamespace

import pytest

from d2l_seq2seq import try_gpu
from d2l_seq2seq.doctor import speed


def test_measurement_on_a_machine_that_takes_longer_than_a_second(monkeypatch):
    monkeypatch.setattr(speed, 'MEASURED_SECONDS', 0)
    assert speed.milliseconds_per_batch(try_gpu()) > 0


class Clock:
    """A clock that stands still until a test advances it."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(speed.time, 'perf_counter', lambda: self.now)


# The updates are those of the first epoch, or of its first second, and those of another second.
@pytest.mark.parametrize('seconds, num_updates', [(0.01, 16 + 1 + 100), (0.3, 4 + 4), (5.0, 1 + 1)])
def test_training_at_the_chapters_size_for_a_second(monkeypatch, seconds, num_updates):
    clock, calls, updates = Clock(monkeypatch), [], []

    def fake_fit(model, feed, num_epochs, lr, on_update):
        calls.append((len(feed), feed.batch_size, lr, model.encoder, model.decoder))
        for update in range(1, 1000):
            clock.now += seconds
            updates.append(update)
            on_update(
                SimpleNamespace(
                    epoch=(update - 1) // len(feed), optimizer=SimpleNamespace(num_updates=update)
                )
            )

    monkeypatch.setattr(speed, 'fit', fake_fit)
    assert speed.milliseconds_per_batch(try_gpu()) == pytest.approx(1000 * seconds)
    ((num_batches, batch_size, lr, encoder, decoder),) = calls
    assert abs(len(updates) - num_updates) <= 1  # because of rounding errors in the sum of times
    assert (num_batches, batch_size, lr) == (16, 64, 0.005)
    for block, vocab_size in ((encoder, 180), (decoder, 162)):  # the sizes for the book's corpus
        shapes = [parameter.shape for parameter in block.collect_params().values()]
        assert (vocab_size, 32) in shapes
