"""Randomness: what a seed repeats, what a state restores, what a block keeps apart."""

import pickle
import threading

import numpy as np
import pytest

import minicnn
from minicnn.core import random
from minicnn.errors import CheckpointError


def test_a_seed_repeats_everything():
    def draw():
        minicnn.manual_seed(7)
        return [
            minicnn.rand(3),
            minicnn.randn(3),
            minicnn.randint(9, (3,)),
            minicnn.randperm(5),
            random.next_seed(),
        ]

    first, second = draw(), draw()
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    minicnn.manual_seed(8)
    assert not np.array_equal(minicnn.rand(3), first[0])


@pytest.mark.parametrize("key", [(0,), (3, 4, 5), (2**31, 2**32 - 1), (2**32, 1), (2**63 - 1, 2**40, 0)])
def test_a_stream_is_numpys_of_the_key_and_its_length(key):
    expected = np.random.Generator(np.random.PCG64((len(key), *key)))
    assert random.new_generator(*key).bit_generator.state == expected.bit_generator.state
    assert random.new_generator(*key, 0).bit_generator.state != expected.bit_generator.state


def test_a_negative_key_is_refused():
    with pytest.raises(ValueError, match="non-negative"):
        random.new_generator(1, -1)


@pytest.mark.parametrize("seed", [0, 2**70, -1, np.int64(5)])
def test_any_integer_is_a_seed(seed):
    minicnn.manual_seed(seed)
    assert 0 <= minicnn.rand(1).item() < 1


def test_the_stream_of_a_key_depends_on_the_key_alone():
    minicnn.manual_seed(1)
    first = random.new_generator(3, 4).random(2)
    minicnn.manual_seed(2)
    assert np.array_equal(random.new_generator(3, 4).random(2), first)
    assert not np.array_equal(random.new_generator(4, 3).random(2), first)


def test_a_state_restores_the_stream():
    minicnn.rand(3)
    text, state = random.get_state(), minicnn.get_rng_state()
    first = minicnn.rand(5).tolist()
    random.set_state(text)
    assert minicnn.rand(5).tolist() == first
    minicnn.set_rng_state(state)
    assert minicnn.rand(5).tolist() == first


@pytest.mark.parametrize("state", ["", "{}", "[]", '{"bit_generator": "MT19937"}', "no json"])
def test_what_is_no_state_is_refused_and_changes_nothing(state):
    before = random.get_state()
    with pytest.raises(CheckpointError, match="not a random generator's state"):
        random.set_state(state)
    assert random.get_state() == before


def test_a_generator_of_ones_own_is_used_in_a_block_and_thread():
    own = random.new_generator(5)
    expected = random.new_generator(5).random(2, np.float32)
    before = random.get_state()
    elsewhere = []
    with random.use_generator(own) as used:
        assert used is own is random.generator()
        assert minicnn.rand(2).tolist() == expected.tolist()
        thread = threading.Thread(target=lambda: elsewhere.append(random.generator()))
        thread.start()
        thread.join()
    assert elsewhere[0] is random.generator() is not own
    assert random.get_state() == before


def test_numbers_by_key_are_those_of_splitmix64():
    assert random._mixed(random._STEP) == 0xE220A8397B1DCDAF  # the first output of state 0, as published
    assert random._mixed(2 * random._STEP & random._WORD) == 0x6E789E6AA1B965F4


def test_numbers_by_key_depend_on_the_whole_key_and_their_place():
    keys = [(seed, epoch, index) for seed in range(3) for epoch in range(4) for index in range(500)]
    with random.use_keys((0,), keys):
        drawn = random.uniforms_of_samples(len(keys), 5)
        more = random.uniforms_of_samples(len(keys), 1)
    assert len(np.unique(np.concatenate([drawn, more], 1))) == 6 * len(keys)
    assert 0 <= drawn.min() < 1e-3 and 1 - 1e-3 < drawn.max() < 1
    counts = np.histogram(drawn, 100, (0, 1))[0]
    expected = drawn.size / 100
    assert ((counts - expected) ** 2 / expected).sum() < 149  # chi-square of 99 degrees, 0.1 %
    assert abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 0.06
    for key, row in zip(keys[:7] + [keys[-1]], [*drawn[:7], drawn[-1]], strict=True):
        with random.use_keys(key):
            assert random.uniforms(3) + random.uniforms(2) == row.tolist()


def test_keys_of_several_lengths_and_long_words():
    keys = [(1, 2), (1, 2, 0), (2**70, 1)]
    with random.use_keys((0,), keys):
        drawn = random.uniforms_of_samples(3, 2)
    assert len(np.unique(drawn)) == 6
    for key, row in zip(keys, drawn, strict=True):
        with random.use_keys(key):
            assert random.uniforms(2) == row.tolist()


def test_keys_with_much_in_common_are_those_of_their_tuples():
    keys = random.SampleKeys((2**63 - 1, 2**40), [0, 7, 2**63 - 1])
    assert len(keys) == 3 and keys[-1] == (2**63 - 1, 2**40, 2**63 - 1)
    assert list(keys[1:]) == list(keys)[1:]
    drawn = []
    for same in (keys, list(keys), pickle.loads(pickle.dumps(keys))):
        with random.use_keys((0,), same):
            drawn.append(random.uniforms_of_samples(3, 2))
    assert len(np.unique(drawn[0])) == 6
    assert np.array_equal(drawn[0], drawn[1]) and np.array_equal(drawn[0], drawn[2])


def test_a_key_has_a_generator_and_an_end():
    with random.use_keys((5, 6)):
        inside = random.generator()
        assert inside is random.generator()
        assert inside.random() == random.new_generator(5, 6).random()
    assert random.generator() is not inside
    minicnn.manual_seed(3)
    first = random.uniforms(2)
    minicnn.manual_seed(3)
    assert random.uniforms_of_samples(1, 2).tolist() == [first]
