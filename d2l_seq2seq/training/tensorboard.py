"""Files for TensorBoard, written by tensorboardX, an optional dependency.

Its own writer has a thread, which dies of a full disk and leaves the process waiting; the records
here are written where they are made.
"""
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Mapping

from ..errors import InputError


class TensorBoardWriter:
    """A file of events in a folder.

    Parameters
    ----------
    folder : Path
        It is made where it is not there.

    Raises
    ------
    InputError
        If tensorboardX is not installed, or the file can't be written.
    """

    def __init__(self, folder: Path):
        try:
            from tensorboardX.proto.event_pb2 import Event
            from tensorboardX.proto.summary_pb2 import Summary
            from tensorboardX.record_writer import RecordWriter
        except ImportError as error:
            raise InputError('tensorboard: tensorboardX is not installed; type: pip install '
                             "'d2l-seq2seq[tensorboard]'") from error
        self._event, self._summary = Event, Summary
        name = f'events.out.tfevents.{time.time():.0f}.{os.getpid()}'
        try:
            folder.mkdir(exist_ok=True)
            self._writer = RecordWriter(str(folder / name))
            self._write(Event(wall_time=time.time(), file_version='brain.Event:2'))
        except OSError as error:
            raise InputError(f'{folder}: can not be written to ({error.strerror}); remove what is '
                             'there, or leave --tensorboard out') from error

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        """Write the figures of an epoch; raises OSError if that can't be."""
        summary = self._summary(value=[self._summary.Value(tag=name, simple_value=value)
                                       for name, value in values.items()])
        self._write(self._event(wall_time=time.time(), step=epoch, summary=summary))

    def _write(self, event) -> None:
        self._writer.write(event.SerializeToString())
        self._writer.flush()
