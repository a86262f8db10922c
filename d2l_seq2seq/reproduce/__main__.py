"""Entry point of ``python -m d2l_seq2seq.reproduce``."""

from .. import cli
from . import main

cli.run(main)
