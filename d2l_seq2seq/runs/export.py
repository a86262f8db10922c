"""Export of a run to MXNet's own file formats, which other programs read without this package.

The model becomes two graphs.  The encoder maps source sentences to the first state of the decoder.
The decoder maps a token and a state to the logits of the next token and the next state; it computes
a single step.  Both accept batches of any size, and the encoder accepts sentences of any length.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import BinaryIO, Callable, NamedTuple, Sequence

from .._mxnet import mx, npx
from ..book.encoder_decoder import EncoderDecoder
from ..config import DataConfig
from ..engine.compiled import flatten, unflatten
from ..engine.graphs import to_json_without_shapes
from ..models.decoders import AttentionDecoder
from ..models.encoders import reads_padding
from .atomic import fill_folder, write_folder, writer_of
from .checkpoint import SUBWORD_FILES, Run
from .regular_files import make_folders

SIGNATURE_FILE = 'signature.json'
_SPECIAL_TOKENS = ('<unk>', '<pad>', '<bos>', '<eos>')


class _Graph(NamedTuple):
    """A traced part of the model, with the names of its inputs and outputs in order."""

    symbol: mx.sym.Symbol
    inputs: list[str]
    outputs: list[str]


def export_run(run: Run, folder: Path) -> list[str]:
    """Write the model and the vocabularies of a run for other programs.

    Files written:

    - ``encoder-symbol.json`` and ``encoder-0000.params``, and the same for ``decoder``: the graphs
      and their parameters, for ``gluon.SymbolBlock.imports``;
    - ``src_vocab.txt`` and ``tgt_vocab.txt``: one token per line, in order of id;
    - ``src_subwords.model`` and ``tgt_subwords.model``, if the run uses subwords;
    - ``signature.json``: the names of inputs and outputs, the special ids, and how sentences must
      be padded.

    Parameters
    ----------
    run : Run
    folder : Path
        If it exists, the files are written into it.  Otherwise it is created, complete.

    Returns
    -------
    list of str
        The names of the files.

    Raises
    ------
    OSError, MXNetError
        If a file cannot be written.
    """
    writers = _writers(run)
    if folder.exists():
        fill_folder(folder, writers)
    else:
        make_folders(folder.parent)
        write_folder(folder, writers)
    return sorted(writers)


def _writers(run: Run) -> dict[str, Callable[[BinaryIO], object]]:
    """Return a function for each file that writes it; the signature comes last."""
    graphs = dict(zip(('encoder', 'decoder'), _trace(run.model)))
    signature = {
        name: {'inputs': graph.inputs, 'outputs': graph.outputs} for name, graph in graphs.items()
    }
    signature.update(_text_signature(run.config.data, run))
    contents = {
        f'{name}-symbol.json': to_json_without_shapes(graph.symbol).encode()
        for name, graph in graphs.items()
    }
    for name, vocab in (('src_vocab.txt', run.src_vocab), ('tgt_vocab.txt', run.tgt_vocab)):
        contents[name] = ''.join(f'{token}\n' for token in vocab.idx_to_token).encode()
    contents.update(
        (name, subwords.model) for name, subwords in zip(SUBWORD_FILES, run.subwords or ())
    )
    contents[SIGNATURE_FILE] = f'{json.dumps(signature, indent=1)}\n'.encode()
    return {
        **{
            f'{name}-0000.params': functools.partial(_write_parameters, run.model, graph)
            for name, graph in graphs.items()
        },
        **{name: writer_of(data) for name, data in contents.items()},
    }


def _write_parameters(model: EncoderDecoder, graph: _Graph, file: BinaryIO) -> None:
    # MXNet opens files by name only, and names must be UTF-8 for it.
    npx.save(f'/dev/fd/{file.fileno()}', _parameters(model, graph))


def _trace(model: EncoderDecoder) -> tuple[_Graph, _Graph]:
    """Trace the encoder, and one step of the decoder."""
    src, src_valid_len = _variables({'src': (1, 1), 'src_valid_len': (1,)})
    first_state = model.decoder.init_state(model.encoder(src, src_valid_len), src_valid_len)
    state_arrays: list[mx.sym.Symbol] = []
    structure = flatten(first_state, state_arrays)
    state_names = [f'state{number}' for number in range(len(state_arrays))]
    encoder = _group(state_arrays)
    # An encoder that ignores valid lengths does not have them as an input.
    encoder_inputs = [name for name in ('src', 'src_valid_len') if name in encoder.list_inputs()]

    token, *state_variables = _variables({'token': (1, 1), **dict.fromkeys(state_names)})
    state = unflatten(structure, iter(state_variables))
    attention_weights = []
    if isinstance(model.decoder, AttentionDecoder):
        logits, state, *attention_weights = model.decoder.attend(token, state)
    else:
        logits, state = model.decoder(token, state)
    outputs: list[mx.sym.Symbol] = []
    flatten([logits, state, attention_weights], outputs)
    output_names = ['logits', *state_names]
    if attention_weights:
        output_names.append('attention_weights')
    return (
        _Graph(encoder, encoder_inputs, state_names),
        _Graph(_group(outputs), ['token', *state_names], output_names),
    )


def _text_signature(config: DataConfig, run: Run) -> dict:
    """Return the information that a program needs about text and ids."""
    special_ids = {
        side: {token: vocab[token] for token in _SPECIAL_TOKENS if token in vocab.token_to_idx}
        for side, vocab in (('src', run.src_vocab), ('tgt', run.tgt_vocab))
    }
    return {
        'dtype': 'float32',
        'text_rules': config.text_rules,
        'rules_version': config.rules_version,
        'num_steps': config.num_steps,
        'reverse_source': config.reverse_source,
        'special_ids': special_ids,
        'pad_to_num_steps': reads_padding(run.model.encoder),
    }


def _variables(shapes: dict) -> list[mx.sym.Symbol]:
    return [
        mx.sym.var(name, shape=shape, dtype='float32').as_np_ndarray()
        for name, shape in shapes.items()
    ]


def _group(outputs: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
    """Join outputs to one graph; an input that is passed through becomes an output of its own."""
    return mx.sym.Group(
        [mx.sym.identity(output.as_nd_ndarray()).as_np_ndarray() for output in outputs]
    )


def _parameters(model: EncoderDecoder, graph: _Graph) -> dict:
    """Return the parameters that a graph reads, under the names that MXNet's files use."""
    parameters = {parameter.name: parameter for parameter in model.collect_params().values()}
    return {
        f'arg:{name}': parameters[name].data().as_in_context(mx.cpu())
        for name in graph.symbol.list_inputs()
        if name not in graph.inputs
    }
