"""``python -m d2l_seq2seq.translate``: translate sentences with a trained run."""
from __future__ import annotations

import logging
import sys
from pathlib import Path

from . import command_line
from .errors import InputError

logger = logging.getLogger(__name__)

BYTE_ORDER_MARK = '\ufeff'  # some editors begin a file with it
REPLACEMENT = '\ufffd'  # stands where bytes could not be decoded


def _parser() -> command_line.Parser:
    parser = command_line.parser_for(
        'translate', 'Translate sentences, one line out for each line in.')
    parser.add_argument('run', metavar='RUN', help='the folder that train wrote')
    parser.add_argument('sentences', metavar='SENTENCE', nargs='*', default=[],
                        help='what to translate; without any, the lines of standard input')
    parser.add_argument('--attention', metavar='FILE', help='draw what each word of the '
                        'translations looked at (.svg, .png or .pdf)')
    parser.add_argument('--device', default='auto', help='auto, cpu, cpu(N), gpu or gpu(N)')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Translate as the options say."""
    options = _parser().parse_args(argv)

    # Only now MXNet, which takes seconds to load, and matplotlib.
    from .plotting import picture_suffix

    if options.attention:
        picture_suffix(options.attention)
        if not Path(options.attention).resolve().parent.is_dir():
            raise InputError(f'{options.attention}: expected a file in a folder that is there')
    from .checkpoint import load_run
    from .device import device_from_name
    from .reference import predict_s2s_ch9
    from .translation import attention_of, check_attention, source_text

    ctx = device_from_name(options.device)
    run = load_run(options.run, ctx)
    if run.config.data.corpus == 'pseudo':
        raise InputError(f'{options.run}: expected a run that was trained on text, got one that '
                         'was trained on random ids')
    if options.attention:
        check_attention(run.model)
    num_steps = run.config.data.num_steps
    seen = []
    for line in options.sentences or sys.stdin:
        sentence = source_text(run, line.lstrip(BYTE_ORDER_MARK))
        if REPLACEMENT in sentence:
            logger.warning('a line is not UTF-8 and is read with gaps: %s', sentence[:40])
        num_tokens = len(sentence.split())
        if num_tokens > num_steps:
            logger.warning('a sentence of %d tokens is cut to %d, which is all that the model was '
                           'trained to read: %s ...', num_tokens, num_steps, sentence[:40])
        settings = run.src_vocab, run.tgt_vocab, num_steps, ctx
        translation = predict_s2s_ch9(run.model, sentence, *settings) if sentence else ''
        print(translation, flush=True)
        if options.attention and sentence:
            weights = attention_of(run.model, sentence, translation, *settings)
            words = translation.split()
            seen.append((weights[:num_steps], sentence.split()[:num_steps],
                         [*words, '<eos>'][:num_steps]))
    if seen:
        _draw(seen, Path(options.attention))


def _draw(seen: list[tuple], path: Path) -> None:
    """Write what was looked at to a picture."""
    from .plotting import attention_figure, figure_bytes, picture_suffix

    picture = figure_bytes(attention_figure(*zip(*seen)), picture_suffix(path))
    try:
        path.write_bytes(picture)
    except OSError as error:
        raise InputError(f'{path}: can not be written ({error.strerror})') from error


if __name__ == '__main__':
    command_line.run(main)
