"""Thousands of mutated run folders, loaded under a memory limit: python fuzz_loader.py COUNT SEED

Two classes.  *Damaged*: a file changed under the manifest as it was; every one has to be refused.
*Hostile*: the manifest agrees with what was changed; it may be read where what it says makes sense,
and otherwise is refused, and never runs code, crashes, or takes memory without bounds.
"""

import contextlib
import io
import json
import os
import random
import re
import resource
import shutil
import struct
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as onp

from d2l_seq2seq import (
    DataConfig,
    Feed,
    InputError,
    ModelConfig,
    Run,
    RunConfig,
    build_model,
    fit,
    initialize,
    read_corpus,
)
from d2l_seq2seq._mxnet import npx, seed_generators
from d2l_seq2seq.data.encoding import encode_pairs
from d2l_seq2seq.data.tokenizers import SubwordPair, Subwords
from d2l_seq2seq.engine.optimizer import HalvingOnPlateau
from d2l_seq2seq.engine.step import UpdateRules
from d2l_seq2seq.runs.checkpoint import load_checkpoint, load_progress, save_checkpoint
from d2l_seq2seq.runs.folder import best_checkpoint, completion_reason
from d2l_seq2seq.runs.manifest import MANIFEST, write_manifest
from d2l_seq2seq.training.checkpointing import MOMENTS, to_progress, to_state

MEMORY = 1 << 30  # bytes that the process may take on top of what it has
CTX = npx.cpu()
ARRAYS = 'weights.npz', 'optimizer.npz'
SUBWORDS = 'src_subwords.model', 'tgt_subwords.model'
JSON = 'config.json', 'src_vocab.json', 'tgt_vocab.json', 'progress.json'


class Trap:
    """Unpickled, it leaves a file."""

    def __reduce__(self):
        return os.mkdir, (str(TRAP),)


def make_model(folder, arrays, vocabs, config):
    """A checkpoint of a training, and what is needed to go on with it."""
    seed_generators(0)
    model = build_model(config.model, *map(len, vocabs))
    initialize(model, CTX)
    feed, kept = Feed(arrays, 8, 0), []
    hooks = {'schedule': HalvingOnPlateau(0.01, 1)}
    fit(
        model,
        feed,
        num_epochs=1,
        lr=hooks['schedule'],
        on_epoch_end=lambda metrics, state: kept.append(
            to_progress(model, state, hooks, feed.fingerprint())
        ),
    )
    subwords = Subwords.train([src for src, _ in read_corpus('bundled').pairs[:100]], 60)
    save_checkpoint(folder, Run(config, *vocabs, model, SubwordPair(subwords, subwords)), kept[0])


def load(folder, feed):
    """All that reads a checkpoint."""
    run = load_checkpoint(folder, CTX)
    progress = load_progress(folder, run.model, MOMENTS)
    to_state(
        progress,
        run.model,
        feed,
        UpdateRules(),
        {'schedule': HalvingOnPlateau(0.01, 1)},
        feed.fingerprint(),
    )
    return run


# What is done to a file's bytes.


def flip_bit(rng, data):
    place = rng.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]


def truncate(rng, data):
    return data[: rng.randrange(len(data))]


def insert(rng, data):
    place = rng.randrange(len(data))
    more = bytes(rng.randrange(256) for _ in range(rng.randint(1, 50)))
    return data[:place] + more + data[place:]


def zero_block(rng, data):
    place, length = rng.randrange(len(data)), rng.randint(1, 600)
    changed = data[:place] + b'\0' * length + data[place + length :]
    return changed if changed != data else data[:-1]


DAMAGES = [flip_bit, truncate, insert, zero_block]


def change_json(rng, data):
    """Another value somewhere in a JSON file."""
    values = json.loads(data)
    nodes = [(None, None)]
    stack = [values]
    while stack:
        node = stack.pop()
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            nodes.append((node, key))
            if isinstance(node[key], (dict, list)) and node[key]:
                stack.append(node[key])
    node, key = rng.choice(nodes)
    value = rng.choice(
        [
            None,
            -1,
            0,
            1,
            2**31,
            10**18,
            10**39,
            1.5,
            1e308,
            'x',
            '../../etc',
            '',
            '\0',
            True,
            [],
            {},
            [[]],
            {'a': 1},
            'a' * 10_000,
            [1] * 1000,
            '<unk>',
        ]
    )
    if node is None:
        values = value
    elif rng.random() < 0.15:
        del node[key]
    else:
        node[key] = value
    return json.dumps(values).encode()


def json_bomb(rng, data):
    depth = rng.choice([1000, 100_000])
    return rng.choice(
        [
            b'[' * depth,
            b'{"a":' * depth,
            b'[' * depth + b']' * depth,
            b'9' * depth,
            b'[' + b'1,' * depth + b'1]',
            b'"' + b'\\u0000' * depth + b'"',
            b'[' + b'1' * 39 + b']',
            b'1e999999',
            b'NaN',
            b' ' * 2_000_000,
        ]
    )


def arrays_with(rng, data, change, save=onp.savez):
    """The archive with one array changed."""
    with onp.load(io.BytesIO(data)) as found:
        arrays = dict(found)
    name = rng.choice(sorted(arrays))
    arrays[name] = change(arrays[name])
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def pickle_inside(rng, data):
    return arrays_with(
        rng, data, lambda array: onp.array([Trap()] * rng.randint(1, 3), dtype=object)
    )


def other_array(rng, data):
    return arrays_with(
        rng,
        data,
        rng.choice(
            [
                lambda array: array.astype('float64'),
                lambda array: array[..., None],
                lambda array: array.ravel()[:-1],
                lambda array: onp.full_like(array, onp.nan),
                lambda array: onp.full_like(array, 3e38),
                lambda array: onp.zeros(0, 'float32'),
                lambda array: onp.asfortranarray(array),
                lambda array: onp.array(['x' * 100] * 10),
            ]
        ),
    )


def zip_bomb(rng, data):
    """Gigabytes of zeros in some kilobytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(
        buffer, 'w', zipfile.ZIP_DEFLATED
    ) as new:
        names = old.namelist()
        bomb = rng.choice(names)
        for name in names:
            with new.open(name, 'w', force_zip64=True) as member:
                member.write(old.read(name))
                if name == bomb:
                    for _ in range(20):
                        member.write(b'\0' * (1 << 20))
    return buffer.getvalue()


def huge_header(rng, data):
    """Shapes and sizes that claim to be large."""
    old, new = rng.choice(
        [
            (b"'shape': (", b"'shape': (" + b'9' * rng.randint(1, 30)),
            (b'<f4', b'<f8'),
            (b'<f4', b'|O8'),
            (b"{'descr'", b'{' * rng.choice([3, 90])),
            (b'False', b'True '),
            (b'(', b'__import__("os").mkdir("/x")#'),
        ]
    )
    place = data.index(b'NUMPY')
    header = data[place : place + 128].replace(old, new, 1)[:128].ljust(128)
    return data[:place] + header + data[place + 128 :]


def huge_directory(rng, data):
    """The zip's own tables, with other sizes and places."""
    end = data.rindex(b'PK\x05\x06')
    start = data.index(b'PK\x01\x02')
    damaged = bytearray(data)
    place = rng.choice([*range(end + 4, end + 22, 2), *range(start + 4, start + 46, 2)])
    struct.pack_into('<H', damaged, place, rng.choice([0, 1, 0x7FFF, 0xFFFF]))
    return bytes(damaged)


def many_entries(rng, data):
    """Thousands of names, some of which lead out of the folder."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, 'a') as archive:
        for number in range(rng.choice([1, 3000])):
            archive.writestr(rng.choice(['../../evil', '/evil', 'a', '']) + str(number), b'')
    return buffer.getvalue()


def own_bytes(rng, data):
    return rng.choice(
        [
            b'',
            b'\0',
            bytes(rng.randrange(256) for _ in range(2000)),
            b'PK\x05\x06' + bytes(18),
            b'\x80\x04\x95',
        ]
    )


HOSTILE_JSON = [change_json] * 6 + [json_bomb, own_bytes]
HOSTILE_ARRAYS = [
    flip_bit,
    flip_bit,
    truncate,
    insert,
    pickle_inside,
    other_array,
    zip_bomb,
    huge_header,
    huge_header,
    huge_directory,
    huge_directory,
    many_entries,
    own_bytes,
]


def change_manifest(rng, folder):
    """Names that lead elsewhere, other values, other files in the place of files."""
    values = json.loads((folder / MANIFEST).read_text())
    kind = rng.randrange(5)
    name = rng.choice([*ARRAYS, *JSON])
    if kind == 0:
        other = rng.choice(['../x', '/etc/passwd', '..', '.', '', 'a/b', '~', '\0', 'x' * 5000])
        values['files'][other] = values['files'].pop(name)
    elif kind == 1:
        del values['files'][name]
    elif kind == 2:
        (folder / MANIFEST).write_bytes(change_json(rng, json.dumps(values).encode()))
        return
    elif kind == 3:
        (folder / MANIFEST).write_bytes(json_bomb(rng, b''))
        return
    else:
        path = folder / name
        path.unlink()
        rng.choice(
            [
                lambda: path.mkdir(),
                lambda: os.mkfifo(path),
                lambda: path.symlink_to('/dev/zero'),
                lambda: path.symlink_to(folder),
                lambda: path.symlink_to('/etc/passwd'),
            ]
        )()
        return
    (folder / MANIFEST).write_text(json.dumps(values))


def mutate(rng, folder, is_hostile):
    """Change a good folder; returns what was done."""
    if not is_hostile:
        name = rng.choice([*ARRAYS, *JSON, *SUBWORDS])
        if name not in SUBWORDS and rng.random() < 0.1:
            other = rng.choice([one for one in (*ARRAYS, *JSON) if one != name])
            swapped = (folder / name).read_bytes(), (folder / other).read_bytes()
            (folder / name).write_bytes(swapped[1])
            (folder / other).write_bytes(swapped[0])
            return f'swap {name} and {other}'
        change = rng.choice(DAMAGES)
        (folder / name).write_bytes(change(rng, (folder / name).read_bytes()))
        return f'{change.__name__} of {name}'
    if rng.random() < 0.15:
        change_manifest(rng, folder)
        return 'manifest'
    name = rng.choice([*ARRAYS, *JSON, *rng.sample(SUBWORDS, 1)])
    change = rng.choice(
        HOSTILE_ARRAYS
        if name in ARRAYS
        else HOSTILE_JSON
        if name in JSON
        else [*DAMAGES, own_bytes]
    )
    (folder / name).write_bytes(change(rng, (folder / name).read_bytes()))
    (folder / MANIFEST).unlink()
    write_manifest(folder, {})
    return f'{change.__name__} of {name}'


def peak_megabytes():
    """The most memory that this program had; getrusage tells of who started it as well."""
    try:
        status = Path('/proc/self/status').read_text()
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return int(re.search(r'VmHWM:\s*(\d+) kB', status).group(1)) // 1024


def main():
    count, seed = map(int, sys.argv[1:])
    config = RunConfig(DataConfig(text_rules='subwords'), ModelConfig(3, 4, 2))
    src_vocab, tgt_vocab, arrays = encode_pairs(read_corpus('bundled').pairs[:20], 8)
    good, folder = WORK / 'good', WORK / 'run' / 'checkpoints' / 'epoch-1'
    make_model(good, arrays, (src_vocab, tgt_vocab), config)
    feed = Feed(arrays, 8, 0)
    folder.parent.mkdir(parents=True)
    load(good, feed)
    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    refused = {'damaged': 0, 'hostile': 0}
    read = {'damaged': 0, 'hostile': 0}
    for number in range(count):
        rng = random.Random(f'{seed} {number}')
        kind = 'hostile' if number % 2 else 'damaged'
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(good, folder)
        what = mutate(rng, folder, kind == 'hostile')
        try:
            best_checkpoint(WORK / 'run')
            completion_reason(WORK / 'run', 5)
            run = load(folder, feed)
        except InputError as error:
            if '\n' in str(error) or len(str(error)) > 2000:
                sys.exit(f'{number}: {what}: a long message: {str(error)[:300]!r}')
            refused[kind] += 1
        except BaseException as error:
            sys.exit(f'{number}: {what}: {error!r}')
        else:
            read[kind] += 1
            if not all(
                onp.isfinite(parameter.data().asnumpy()).all()
                for parameter in run.model.collect_params().values()
            ):
                sys.exit(f'{number}: {what}: read numbers that are none')
        if TRAP.exists():
            sys.exit(f'{number}: {what}: code was run')
        if kind == 'damaged' and read[kind]:
            sys.exit(f'{number}: {what}: damaged, and read')
    outside = sorted(path.name for path in WORK.iterdir())
    if outside != ['good', 'run']:
        sys.exit(f'files appeared: {outside}')
    print(json.dumps({'refused': refused, 'read': read, 'peak_megabytes': peak_megabytes()}))


if __name__ == '__main__':
    with contextlib.ExitStack() as stack:
        WORK = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        TRAP = WORK / 'trap'
        main()
