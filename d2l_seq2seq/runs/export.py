"""A model as MXNet's own files, which are read without this package.

Two graphs: the encoder, from source sentences to the decoder's first state, and one step of the
decoder, from a token and a state to the logits of the next token and the state after it.  Both take
batches of any size, and the encoder sentences of any length.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Sequence

from .._mxnet import mx, npx
from ..book.encoder_decoder import EncoderDecoder
from ..config import DataConfig
from ..engine.compiled import flatten, unflatten
from ..engine.graphs import without_shapes_json
from ..models.decoders import AttentionDecoder
from .checkpoint import SUBWORDS, Run

SIGNATURE = 'signature.json'


def export_run(run: Run, folder: Path) -> None:
    """Write a run's model and vocabularies as files for other programs.

    ``encoder-symbol.json`` and ``encoder-0000.params``, the same for ``decoder``, what
    `gluon.SymbolBlock.imports` reads; ``src_vocab.txt`` and ``tgt_vocab.txt``, a token a line, in
    order of id; the subword models, if there are any; and ``signature.json``, which names inputs,
    outputs, special ids and how sentences have to be padded.

    Parameters
    ----------
    run : Run
    folder : Path
        It is there, and empty.

    Raises
    ------
    OSError
        If a file can't be written.
    """
    graphs = _graphs(run.model)
    signature = {
        name: {'inputs': inputs, 'outputs': outputs}
        for name, (_, inputs, outputs) in graphs.items()
    }
    for name, (graph, inputs, _) in graphs.items():
        (folder / f'{name}-symbol.json').write_text(without_shapes_json(graph), encoding='utf-8')
        npx.save(str(folder / f'{name}-0000.params'), _parameters(run.model, graph, inputs))
    signature.update(_text_signature(run.config.data, run))
    for name, vocab in (('src_vocab.txt', run.src_vocab), ('tgt_vocab.txt', run.tgt_vocab)):
        (folder / name).write_bytes(''.join(f'{token}\n' for token in vocab.idx_to_token).encode())
    for name, side in zip(SUBWORDS, run.subwords or ()):
        (folder / name).write_bytes(side.model)
    (folder / SIGNATURE).write_text(json.dumps(signature, indent=1) + '\n', encoding='utf-8')


def _graphs(model: EncoderDecoder) -> dict[str, tuple[mx.sym.Symbol, list[str], list[str]]]:
    """Encoder and decoder step: each a graph and the names of its inputs and outputs."""
    src, src_valid_len = _variables({'src': (1, 1), 'src_valid_len': (1,)})
    first = []
    structure = flatten(
        model.decoder.init_state(model.encoder(src, src_valid_len), src_valid_len), first
    )
    names = [f'state{number}' for number in range(len(first))]
    encoder = _group(first)
    inputs = [name for name in ('src', 'src_valid_len') if name in encoder.list_inputs()]
    token, *state = _variables({'token': (1, 1), **dict.fromkeys(names)})
    state, weights, outputs = unflatten(structure, iter(state)), [], []
    if isinstance(model.decoder, AttentionDecoder):
        logits, state, *weights = model.decoder.attend(token, state)
    else:
        logits, state = model.decoder(token, state)
    flatten([logits, state, weights], outputs)
    return {
        'encoder': (encoder, inputs, names),
        'decoder': (
            _group(outputs),
            ['token', *names],
            ['logits', *names, *(['attention_weights'] if weights else [])],
        ),
    }


def _text_signature(config: DataConfig, run: Run) -> dict:
    """What a program has to know of text and ids."""
    special = {
        side: {
            token: vocab[token]
            for token in ('<unk>', '<pad>', '<bos>', '<eos>')
            if token in vocab.token_to_idx
        }
        for side, vocab in (('src', run.src_vocab), ('tgt', run.tgt_vocab))
    }
    return {
        'dtype': 'float32',
        'text_rules': config.text_rules,
        'num_steps': config.num_steps,
        'reverse_source': config.reverse_source,
        'special_ids': special,
        'pad_to_num_steps': run.model.encoder.reads_padding,
    }


def _variables(shapes: dict) -> list[mx.sym.Symbol]:
    return [
        mx.sym.var(name, shape=shape, dtype='float32').as_np_ndarray()
        for name, shape in shapes.items()
    ]


def _group(outputs: Sequence[mx.sym.Symbol]) -> mx.sym.Symbol:
    """One graph; what is passed through unchanged is an output of its own."""
    return mx.sym.Group(
        [mx.sym.identity(output.as_nd_ndarray()).as_np_ndarray() for output in outputs]
    )


def _parameters(model: EncoderDecoder, graph: mx.sym.Symbol, inputs: Sequence[str]) -> dict:
    """The parameters that a graph reads, as MXNet's files name them."""
    parameters = {parameter.name: parameter for parameter in model.collect_params().values()}
    return {
        f'arg:{name}': parameters[name].data().as_in_context(mx.cpu())
        for name in graph.list_inputs()
        if name not in inputs
    }
