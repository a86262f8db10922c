"""Entry point of ``python -m d2l_seq2seq.doctor``."""

from .. import cli
from . import main

cli.run(main)
