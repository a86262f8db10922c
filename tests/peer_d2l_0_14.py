"""Runs the book's own package, d2l 0.14.0, in its own environment; see book/test_equivalence.py.

Usage: python peer_d2l_0_14.py JOB RESULT

JOB is a JSON file with the name of a task and its keyword arguments: {"task": ..., "arguments":
...}.  The return value of the task is written to the JSON file RESULT.
"""

import importlib
import json
import sys
from pathlib import Path

import numpy as onp
from mxnet import autograd, cpu, init, np, npx
from mxnet import random as mx_random

ROOT = Path(__file__).resolve().parents[1]


def main(job_path, result_path):
    npx.set_np()
    job = json.loads(Path(job_path).read_text(encoding='utf-8'))
    tasks = {
        'train': train,
        'attention_layers': attention_layers,
        'transformer_encoder': transformer_encoder,
    }
    result = tasks[job['task']](quiet_d2l(), **job['arguments'])
    Path(result_path).write_text(json.dumps(result), encoding='utf-8')


def quiet_d2l():
    """Return d2l 0.14.0, changed so that it needs no notebook and records its accumulators."""
    sys.path.insert(0, str(ROOT / 'benchmarks' / 'peers'))
    from quiet_d2l import d2l

    return d2l


def train(d2l, text, seed, num_epochs, sentences, section):
    """Train the model of a section on a corpus and translate some sentences."""
    d2l.read_data_nmt = lambda: text
    src_vocab, tgt_vocab, data_iter = d2l.load_data_nmt(64, 10)
    onp.random.seed(seed)
    result = {
        'src_tokens': src_vocab.idx_to_token,
        'tgt_tokens': tgt_vocab.idx_to_token,
        'batches': [[array.asnumpy().tolist() for array in batch] for batch in data_iter],
    }
    seed_generators(seed)
    new_model = {'9.7': seq2seq, '10.2': seq2seq_with_attention, '10.3': transformer}[section]
    model = new_model(d2l, len(src_vocab), len(tgt_vocab))
    d2l.train_s2s_ch9(model, data_iter, 0.005, num_epochs, cpu())
    result['losses'] = [metric[0] / metric[1] for metric in d2l.Accumulator.made]
    result['translations'] = [
        d2l.predict_s2s_ch9(model, sentence, src_vocab, tgt_vocab, 10, cpu())
        for sentence in sentences
    ]
    return result


# The decoders of sections 10.2 and 10.3 are printed in the book but are not part of d2l.  Those of
# this package take their place, with the layers of d2l.


def seq2seq(d2l, src_vocab_size, tgt_vocab_size):
    return d2l.EncoderDecoder(
        d2l.Seq2SeqEncoder(src_vocab_size, 32, 32, 2, 0.0),
        d2l.Seq2SeqDecoder(tgt_vocab_size, 32, 32, 2, 0.0),
    )


def seq2seq_with_attention(d2l, src_vocab_size, tgt_vocab_size):
    module = with_layers_of(d2l, 'seq2seq_attention', ['MLPAttention'])
    return d2l.EncoderDecoder(
        d2l.Seq2SeqEncoder(src_vocab_size, 32, 32, 2, 0.0),
        module.Seq2SeqAttentionDecoder(tgt_vocab_size, 32, 32, 2, 0.0),
    )


def transformer(d2l, src_vocab_size, tgt_vocab_size):
    layers = ['MultiHeadAttention', 'AddNorm', 'PositionWiseFFN', 'PositionalEncoding']
    module = with_layers_of(d2l, 'transformer', layers)
    return d2l.EncoderDecoder(
        d2l.TransformerEncoder(src_vocab_size, 32, 64, 4, 2, 0.0),
        module.TransformerDecoder(max(src_vocab_size, tgt_vocab_size), 32, 64, 4, 2, 0.0),
    )


def with_layers_of(d2l, name, layers):
    """Return a module of d2l_seq2seq.book, with some of its classes replaced by those of d2l."""
    sys.path.append(str(ROOT))
    module = importlib.import_module(f'd2l_seq2seq.book.{name}')
    for layer in layers:
        setattr(module, layer, getattr(d2l, layer))
    return module


def attention_layers(d2l, seed):
    """Return masked softmaxes, and the outputs and gradients of the attention layers.

    `d2l` is any namespace with the functions and classes of section 10.1.
    """
    seed_generators(seed)
    query = np.random.normal(size=(3, 2, 4))
    key = np.random.normal(size=(3, 5, 4))
    value = np.random.normal(size=(3, 5, 6))
    valid_lens = (None, np.array([5, 2, 1]), np.array([[5, 1], [2, 3], [1, 4]]))
    result = [
        d2l.masked_softmax(np.random.normal(size=(3, 2, 5)), valid_len).tolist()
        for valid_len in valid_lens
    ]
    for attention in (d2l.DotProductAttention(0.5), d2l.MLPAttention(7, 0.5)):
        attention.initialize(init.Xavier())
        for valid_len in valid_lens:
            result.append(attention(query, key, value, valid_len).tolist())
            query.attach_grad()
            with autograd.record():
                context = attention(query, key, value, valid_len)
            context.backward()
            result += [context.tolist(), query.grad.tolist()]
            result += [
                parameter.grad().tolist() for parameter in attention.collect_params().values()
            ]
    return result


def transformer_encoder(d2l, seed):
    """Return outputs and gradients of the encoder of section 10.3, with and without dropout."""
    seed_generators(seed)
    encoder = d2l.TransformerEncoder(20, 8, 16, 2, 2, 0.3, True)
    encoder.initialize(init.Xavier())
    X = np.array(onp.random.randint(20, size=(3, 7)))
    result = [d2l.PositionalEncoding(12, 0).P.tolist()]
    for valid_len in (None, np.array([7, 2, 1])):
        result.append(encoder(X, valid_len).tolist())
        with autograd.record():
            outputs = encoder(X, valid_len)
        outputs.backward(np.random.uniform(size=outputs.shape))
        result.append(outputs.tolist())
        result += [parameter.grad().tolist() for parameter in encoder.collect_params().values()]
    return result


def seed_generators(seed):
    mx_random.seed(seed)
    onp.random.seed(seed)


if __name__ == '__main__':
    main(*sys.argv[1:])
