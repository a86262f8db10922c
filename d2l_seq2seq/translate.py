"""``python -m d2l_seq2seq.translate``: translate sentences with a trained run."""
from __future__ import annotations

import logging
import sys
from pathlib import Path

from . import command_line

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
    from .plotting import attention_figure, figure_bytes, picture_suffix

    picture = options.attention and (Path(options.attention), picture_suffix(options.attention))
    from .checkpoint import load_run
    from .device import device_from_name
    from .reference import predict_s2s_ch9
    from .translation import attention_of, check_attention, source_text

    ctx = device_from_name(options.device)
    run = load_run(options.run, ctx)
    if picture:
        check_attention(run)
    num_steps = run.config.data.num_steps
    seen = []
    for line in options.sentences or sys.stdin:
        sentence = source_text(run, line.lstrip(BYTE_ORDER_MARK))
        if REPLACEMENT in sentence:
            logger.warning('a line is not UTF-8 and is read with gaps: %s', sentence[:40])
        num_tokens = len(sentence.split())
        if num_tokens > num_steps:
            logger.warning('a sentence of %d tokens is cut to the first %d, which is all that the '
                           'model was trained to read: %s ...', num_tokens, num_steps,
                           sentence[:40])
        translation = (predict_s2s_ch9(run.model, sentence, run.src_vocab, run.tgt_vocab, num_steps,
                                       ctx) if sentence else '')
        print(translation, flush=True)
        if picture and sentence:
            seen.append((attention_of(run, sentence, translation, ctx),
                         sentence.split()[:num_steps], [*translation.split(), '<eos>']))
    if seen:
        path, suffix = picture
        path.write_bytes(figure_bytes(attention_figure(*zip(*seen)), suffix))


if __name__ == '__main__':
    command_line.run(main)
