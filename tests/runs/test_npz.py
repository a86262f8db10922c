"""Arrays in an npz file: NumPy can read them, and only the expected arrays are accepted."""

import io
import struct
import zipfile

import numpy as onp
import pytest

from d2l_seq2seq import InputError
from d2l_seq2seq.runs.npz import read_arrays, write_arrays

SHAPES = {'a.weight': (3, 4), 'b': (5,), 'empty': (0, 2)}


@pytest.fixture
def arrays(seed):
    rng = onp.random.RandomState(seed)
    return {name: onp.asarray(rng.randn(*shape), dtype='float32') for name, shape in SHAPES.items()}


def to_bytes(arrays):
    file = io.BytesIO()
    write_arrays(file, arrays)
    return file.getvalue()


def read(data, shapes=SHAPES):
    return read_arrays(io.BytesIO(data), len(data), shapes)


def test_written_arrays_are_read_by_us_and_by_numpy(arrays):
    data = to_bytes(arrays)
    ours, numpys = read(data), onp.load(io.BytesIO(data), allow_pickle=False)
    for name, array in arrays.items():
        for loaded in (ours[name], numpys[name]):
            assert loaded.dtype == 'float32' and loaded.shape == array.shape
            assert onp.array_equal(loaded, array)


def test_arrays_that_numpy_wrote_are_read(arrays):
    file = io.BytesIO()
    onp.savez(file, **arrays)
    assert onp.array_equal(read(file.getvalue())['a.weight'], arrays['a.weight'])


def test_the_same_arrays_give_the_same_bytes(arrays):
    assert to_bytes(arrays) == to_bytes(arrays)


@pytest.mark.parametrize(
    'shapes',
    [
        {**SHAPES, 'b': (6,)},
        {**SHAPES, 'b': (1, 5)},
        {**SHAPES, 'more': (1,)},
        {name: shape for name, shape in SHAPES.items() if name != 'b'},
        {**SHAPES, 'b': (10**9,)},
    ],
)
def test_other_shapes_are_refused(arrays, shapes):
    with pytest.raises(InputError, match='expected'):
        read(to_bytes(arrays), shapes)


@pytest.mark.parametrize(
    'save',
    [
        lambda file, arrays: onp.savez_compressed(file, **arrays),
        lambda file, arrays: onp.savez(file, **{**arrays, 'b': arrays['b'].astype('float64')}),
        lambda file, arrays: onp.savez(file, **{**arrays, 'b': arrays['b'].astype('int32')}),
        lambda file, arrays: onp.savez(
            file, **{**arrays, 'a.weight': onp.asfortranarray(arrays['a.weight'])}
        ),
        lambda file, arrays: onp.savez(file, **{**arrays, 'b': onp.array([{}] * 5, dtype=object)}),
        lambda file, arrays: onp.savez(file, **{**arrays, 'b': arrays['b'] * onp.nan}),
        lambda file, arrays: onp.save(file, arrays['b']),
    ],
)
def test_other_files_are_refused(arrays, save):
    file = io.BytesIO()
    save(file, arrays)
    with pytest.raises(InputError) as error:
        read(file.getvalue())
    assert '\n' not in str(error.value)


def test_a_duplicate_name_is_refused(arrays):
    file = io.BytesIO(to_bytes(arrays))
    with pytest.warns(UserWarning, match='Duplicate'), zipfile.ZipFile(file, 'a') as archive:
        archive.writestr('b.npy', b'')
    with pytest.raises(InputError, match='expected 3 arrays, got 4'):
        read(file.getvalue())


def test_a_directory_of_a_claimed_gigabyte_is_not_read(arrays):
    data = bytearray(to_bytes(arrays))
    end = data.rindex(b'PK\x05\x06')
    struct.pack_into('<L', data, end + 12, 1 << 30)
    with pytest.raises(InputError, match='expected arrays in an uncompressed npz'):
        read(bytes(data))


def test_no_flipped_byte_of_the_tables_crashes(arrays):
    data = to_bytes(arrays)
    places = [*range(200), *range(data.index(b'PK\x01\x02'), len(data))]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 0xFF
        try:
            loaded = read(bytes(damaged))  # no reader uses some bytes of a zip
        except InputError:
            continue
        assert all(onp.array_equal(loaded[name], array) for name, array in arrays.items())
