"""Run ``python -m d2l_seq2seq.doctor``."""

from .. import cli
from ..doctor import main

cli.run(main)
