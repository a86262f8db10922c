"""Searches against brute force, on a step function whose sequences can all be enumerated."""

import itertools
import math

import numpy as onp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from d2l_seq2seq._mxnet import np, operators_of
from d2l_seq2seq.inference.beam_search import beam_search, best_continuations, search_tree
from d2l_seq2seq.inference.constraints import mark_repetitions
from d2l_seq2seq.inference.sampling import greedy_search, sample
from d2l_seq2seq.inference.search import (
    BookLengthPenalty,
    GNMTLengthPenalty,
    SearchRules,
    Stepper,
    no_length_penalty,
)

VOCAB_SIZE, NUM_STATES, BOS, EOS = 4, 7, 1, 2


class TableStepper(Stepper):
    """Logits from a table.  The state of a hypothesis is a hash of all its tokens."""

    def __init__(self, seed):
        rng = onp.random.RandomState(seed)
        self.table = rng.normal(size=(NUM_STATES, VOCAB_SIZE)).astype('float32') * 1.5

    @staticmethod
    def next_state(state, token):
        return (state * 3 + token + 1) % NUM_STATES

    def start(self, arrays, num_rows):
        return np.repeat(arrays[0][:, 0], num_rows)  # (num_hypotheses,)

    def step(self, tokens, state):
        state = self.next_state(state, tokens[:, 0])
        weights = np.stack([state, tokens[:, 0]], axis=1)  # identify the step
        return np.take(np.array(self.table), state, axis=0), state, weights

    def reorder(self, state, rows):
        return np.take(state, rows, axis=0)

    def log_probs(self, start, tokens):
        """Log-probabilities of each token of a sequence."""
        state, log_probs = start, []
        for before, token in zip([BOS, *tokens], tokens):
            state = self.next_state(state, before)
            logits = self.table[int(state)].astype('float64')
            log_probs.append(logits[token] - onp.log(onp.exp(logits).sum()))
        return log_probs


def has_repeats(tokens, size):
    ngrams = [tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1)]
    return size > 0 and len(set(ngrams)) < len(ngrams)


def all_sequences(rules):
    """All sequences of an allowed length, with <eos> if they end."""
    others = [token for token in range(VOCAB_SIZE) if token not in (EOS, *rules.excluded_ids)]
    for length in range(rules.min_length, rules.max_length):
        yield from ((*tokens, EOS) for tokens in itertools.product(others, repeat=length))
    yield from itertools.product(others, repeat=rules.max_length)


def brute_force(stepper, start, rules):
    """(is finished, score, tokens) of all allowed sequences, the best first."""
    candidates = []
    for tokens in all_sequences(rules):
        if not has_repeats(tokens, rules.no_repeat_ngram_size):
            total = sum(stepper.log_probs(start, tokens))
            candidates.append((tokens[-1] == EOS, rules.length_penalty(total, len(tokens)), tokens))
    return sorted(candidates, reverse=True)


def starts(*states):
    """A batch: a column of the first states of its sentences."""
    return [onp.array(states, dtype='float32')[:, None]]


def only(results):
    """The hypotheses of the only sentence of the only batch."""
    (((hypotheses),),) = results
    return hypotheses


def with_eos(hypothesis):
    return (*hypothesis.token_ids, *[EOS] * hypothesis.is_finished)


def all_with_eos(hypotheses):
    return [with_eos(hypothesis) for hypothesis in hypotheses]


def scores_of(hypotheses):
    return [hypothesis.score for hypothesis in hypotheses]


RULES = {
    'book': SearchRules(BOS, EOS, 4),
    'gnmt': SearchRules(BOS, EOS, 4, length_penalty=GNMTLengthPenalty(0.6)),
    'none': SearchRules(BOS, EOS, 4, length_penalty=no_length_penalty),
    'more than one call': SearchRules(BOS, EOS, 6, length_penalty=no_length_penalty),
    'at least 2': SearchRules(BOS, EOS, 4, min_length=2),
    'no token twice': SearchRules(BOS, EOS, 4, no_repeat_ngram_size=1),
    'no pair twice': SearchRules(BOS, EOS, 6, no_repeat_ngram_size=2),
    'without <bos>': SearchRules(BOS, EOS, 5, excluded_ids=(BOS,)),
    'only one token': SearchRules(BOS, EOS, 5, excluded_ids=(0, BOS)),
    'no triple twice': SearchRules(BOS, EOS, 6, min_length=3, no_repeat_ngram_size=3),
}


@pytest.fixture(params=RULES)
def rules(request):
    return RULES[request.param]


def test_a_beam_for_all_sequences_is_brute_force(rules, seed):
    stepper, start = TableStepper(seed), seed % NUM_STATES
    expected = brute_force(stepper, start, rules)
    width = len(list(all_sequences(rules)))
    hypotheses = only(beam_search(stepper, [starts(start)], rules, beam_size=width, n_best=width))
    assert len(hypotheses) == len(expected)
    assert sorted(all_with_eos(hypotheses)) == sorted(tokens for _, _, tokens in expected)
    onp.testing.assert_allclose(
        scores_of(hypotheses), [score for _, score, _ in expected], atol=1e-4
    )
    assert [hypothesis.is_finished for hypothesis in hypotheses] == [
        is_finished for is_finished, _, _ in expected
    ]


class GrammarStepper(TableStepper):
    """A table with excluded tokens; some sequences are impossible, and some states dead ends."""

    def __init__(self, seed):
        super().__init__(seed)
        rng = onp.random.RandomState(seed)
        self.table[rng.rand(NUM_STATES, VOCAB_SIZE) < 0.4] = -onp.inf
        self.table[rng.rand(NUM_STATES) < 0.2] = -onp.inf

    def log_probs(self, start, tokens):
        with onp.errstate(invalid='ignore'):  # a dead end is -inf - (-inf)
            log_probs = onp.array(super().log_probs(start, tokens))
        return onp.where(onp.isnan(log_probs), -onp.inf, log_probs)


@pytest.mark.parametrize('beam_size', [3, 8, 81, 200])
def test_a_beam_finds_what_a_grammar_allows(beam_size, rules, seed):
    """A wide beam holds all sequences, and a wider one than there are sequences finds the same."""
    for grammar in range(3):
        stepper, start = GrammarStepper(seed + grammar), seed % NUM_STATES
        expected = [
            (is_finished, score, tokens)
            for is_finished, score, tokens in brute_force(stepper, start, rules)
            if score > -onp.inf
        ]
        hypotheses = only(
            beam_search(stepper, [starts(start)], rules, beam_size=beam_size, n_best=beam_size)
        )
        possible = {tokens: score for _, score, tokens in expected}
        for hypothesis in hypotheses:
            assert hypothesis.score == pytest.approx(possible[with_eos(hypothesis)], abs=1e-4)
        finished = [tokens for is_finished, _, tokens in expected if is_finished]
        if beam_size >= 3**rules.max_length:
            found = [with_eos(h) for h in hypotheses if h.is_finished]
            assert sorted(found) == sorted(finished)


def test_dead_ends_and_beams_of_any_width():
    """Token 0 leads to 2 (0.6) or 3 (0.4), 2 to 4 and to the end, 3 to the end."""

    class Chain(Stepper):
        table = onp.full((6, 6), -onp.inf, dtype='float32')

        def start(self, arrays, num_rows):
            return np.repeat(arrays[0][:, 0], num_rows)

        def step(self, tokens, state):
            return np.take(np.array(self.table), tokens[:, 0].astype('int32'), axis=0), state, None

        def reorder(self, state, rows):
            return np.take(state, rows, axis=0)

    for before, after, probability in ((0, 2, 0.6), (0, 3, 0.4), (2, 4, 1), (4, 5, 1), (3, 5, 1)):
        Chain.table[before, after] = math.log(probability)
    rules = SearchRules(0, 5, 4, length_penalty=no_length_penalty)
    for beam_size in (1, 2, 3, 8, 10, 16, 40):
        (best, *others) = only(
            beam_search(Chain(), [starts(0)], rules, beam_size=beam_size, n_best=beam_size)
        )
        assert best.token_ids == [2, 4] and best.score == pytest.approx(math.log(0.6), abs=1e-5)
        assert [other.token_ids for other in others] == ([[3]] if beam_size > 1 else [])


def test_a_beam_of_one_is_greedy_search(rules, seed):
    stepper, batch = TableStepper(seed), starts(*range(NUM_STATES))
    (greedy,), (beam,) = (
        list(search)
        for search in (
            greedy_search(stepper, [batch], rules),
            beam_search(stepper, [batch], rules, beam_size=1),
        )
    )
    for (from_greedy,), (from_beam,) in zip(greedy, beam):
        assert with_eos(from_greedy) == with_eos(from_beam)
        assert from_greedy.score == pytest.approx(from_beam.score, abs=1e-5)


def test_greedy_search_takes_the_likeliest_tokens(seed):
    stepper, rules = TableStepper(seed), RULES['more than one call']
    for start in range(NUM_STATES):
        tokens, state = [], start
        while len(tokens) < rules.max_length and EOS not in tokens:
            state = stepper.next_state(state, tokens[-1] if tokens else BOS)
            tokens.append(int(stepper.table[int(state)].argmax()))
        assert with_eos(only(greedy_search(stepper, [starts(start)], rules))[0]) == tuple(tokens)


def path_to(number, nodes):
    """All tokens of the sequence of a node."""
    if number is None:
        return ()
    return (*path_to(nodes[number].parent, nodes), nodes[number].token_id)


@pytest.mark.parametrize('beam_size', [1, 2, 3])
def test_the_tree_has_the_best_continuations_of_each_step(beam_size, seed):
    stepper, rules = TableStepper(seed), RULES['more than one call']
    nodes = search_tree(stepper, starts(3), rules, beam_size)
    paths = [path_to(number, nodes) for number in range(len(nodes))]
    totals = {path: sum(stepper.log_probs(3, path)) for path in paths}
    assert [node.log_prob for node in nodes] == pytest.approx(list(totals.values()), abs=1e-4)
    held, num_ended = [()], 0
    for length in range(1, max(map(len, paths)) + 1):
        candidates = sorted(
            (
                (sum(stepper.log_probs(3, (*path, token))), token == EOS)
                for path in held
                for token in range(VOCAB_SIZE)
            ),
            reverse=True,
        )
        held = [path for path in paths if len(path) == length and path[-1] != EOS]
        ended = [path for path in paths if len(path) == length and path[-1] == EOS]
        assert [totals[path] for path in held] == pytest.approx(
            [total for total, is_end in candidates if not is_end][:beam_size]
        )
        assert [totals[path] for path in ended] == pytest.approx(
            [total for total, is_end in candidates[:beam_size] if is_end][: beam_size - num_ended]
        )
        num_ended += len(ended)
    assert num_ended == beam_size or length == rules.max_length
    assert with_eos(only(beam_search(stepper, [starts(3)], rules, beam_size=beam_size))[0]) in paths


def searches(seed):
    return {
        'greedy': greedy_search,
        'beam': lambda *args: beam_search(*args, beam_size=3, n_best=3),
        'sample': lambda *args: sample(*args, num_samples=3, seed=seed),
    }


@pytest.mark.parametrize('name', ['greedy', 'beam', 'sample'])
def test_batches_are_in_order_and_do_not_change_results(name, rules, seed):
    stepper, search = TableStepper(seed), searches(seed)[name]
    alone = [only(search(stepper, [starts(start)], rules)) for start in range(NUM_STATES)]
    order = onp.random.RandomState(seed).randint(NUM_STATES, size=23).tolist()
    batches = [starts(*order[first : first + 3]) for first in range(0, len(order), 3)]
    together = list(itertools.chain(*search(stepper, iter(batches), rules)))
    assert len(together) == len(order)
    for start, hypotheses in zip(order, together):
        assert all_with_eos(hypotheses) == all_with_eos(alone[start])
        onp.testing.assert_allclose(scores_of(hypotheses), scores_of(alone[start]), atol=1e-5)


@pytest.mark.parametrize('name', ['greedy', 'beam', 'sample'])
def test_log_probs_are_the_models(name, rules, seed):
    stepper = TableStepper(seed)
    for hypothesis in only(searches(seed)[name](stepper, [starts(3)], rules)):
        expected = stepper.log_probs(3, with_eos(hypothesis))
        # Those of a beam search are differences of sums in float32.
        onp.testing.assert_allclose(hypothesis.log_probs, expected, rtol=1e-5, atol=1e-4)
        assert hypothesis.score == pytest.approx(
            rules.length_penalty(sum(expected), len(expected)), abs=1e-4
        )


@pytest.mark.parametrize('name', ['greedy', 'beam', 'sample'])
def test_attention_weights_are_those_of_each_token(name, rules, seed):
    """The toy's weights are the state and the token from which the next token was predicted."""
    stepper = TableStepper(seed)
    for hypothesis in only(searches(seed)[name](stepper, [starts(5)], rules)):
        state, expected = 5, []
        for before in [BOS, *with_eos(hypothesis)][:-1]:
            state = stepper.next_state(state, before)
            expected.append([state, before])
        assert hypothesis.attention_weights.tolist() == expected


def test_samples_obey_the_rules(seed):
    stepper = TableStepper(seed)
    rules = SearchRules(BOS, EOS, 9, min_length=4, no_repeat_ngram_size=2)
    for hypothesis in only(sample(stepper, [starts(2)], rules, num_samples=50, seed=seed)):
        assert not has_repeats(with_eos(hypothesis), 2)
        assert 4 <= len(hypothesis.token_ids) <= 9


def test_samples_follow_the_distribution(seed):
    stepper, num_samples = TableStepper(seed), 4000
    rules = SearchRules(BOS, EOS, 1, length_penalty=no_length_penalty)
    samples = only(sample(stepper, [starts(1)], rules, num_samples=num_samples, seed=seed))
    counts = onp.bincount([tokens[0] for tokens in all_with_eos(samples)], minlength=VOCAB_SIZE)
    expected = onp.exp([stepper.log_probs(1, [token])[0] for token in range(VOCAB_SIZE)])
    deviation = onp.sqrt(expected * (1 - expected) / num_samples)
    assert (abs(counts / num_samples - expected) < 5 * deviation).all()


def test_low_temperature_or_top_1_is_greedy_search(seed):
    stepper, batch, rules = TableStepper(seed), starts(*range(NUM_STATES)), RULES['book']
    greedy = [
        with_eos(hypothesis) for (hypothesis,) in next(greedy_search(stepper, [batch], rules))
    ]
    for options in ({'top_k': 1}, {'temperature': 1e-3}):
        samples = next(sample(stepper, [batch], rules, seed=seed, **options))
        assert [with_eos(hypothesis) for (hypothesis,) in samples] == greedy
    top_two = only(
        sample(stepper, [starts(4)], SearchRules(BOS, EOS, 1), top_k=2, num_samples=200, seed=seed)
    )
    state = int(stepper.next_state(4, BOS))
    assert {tokens[0] for tokens in all_with_eos(top_two)} <= set(
        onp.argsort(stepper.table[state])[-2:].tolist()
    )


def test_a_seed_fixes_the_samples(seed):
    def samples(seed):
        stepper, rules = TableStepper(1), SearchRules(BOS, EOS, 12)
        return all_with_eos(only(sample(stepper, [starts(2)], rules, num_samples=99, seed=seed)))

    assert samples(seed) == samples(seed) != samples(seed + 1)


def test_length_penalties_by_hand():
    assert BookLengthPenalty(0.75)(-8.0, 16) == -1.0  # 16 ** 0.75 == 8
    assert BookLengthPenalty(0)(-8.0, 16) == -8.0
    assert GNMTLengthPenalty(1.0)(-8.0, 7) == -4.0  # (5 + 7) / 6 == 2
    assert no_length_penalty(-8.0, 16) == -8.0


def test_arguments_out_of_range():
    with pytest.raises(ValueError, match='expected n_best from 1 to beam_size = 2, got 3'):
        beam_search(TableStepper(0), [], SearchRules(BOS, EOS, 4), beam_size=2, n_best=3)
    with pytest.raises(ValueError, match='expected a temperature above 0'):
        sample(TableStepper(0), [], SearchRules(BOS, EOS, 4), temperature=0)
    with pytest.raises(ValueError, match='expected a max_length of at least 1, got 0'):
        SearchRules(BOS, EOS, 0)


@given(
    tokens=st.lists(st.lists(st.integers(0, 5), min_size=6, max_size=6), min_size=1, max_size=4),
    size=st.integers(1, 4),
)
@settings(deadline=None, max_examples=50)
def test_repetitions_are_marked(tokens, size):
    history = np.array(tokens, dtype='float32')
    marked = mark_repetitions(operators_of(history), history, size, 6, 6).asnumpy()
    for is_marked, sequence in zip(marked, tokens):
        for token in range(6):
            ngram = tuple([*sequence, token][-size:])
            ngrams = {tuple(sequence[start : start + size]) for start in range(6 - size + 1)}
            assert bool(is_marked[token]) == (ngram in ngrams)


def test_a_model_without_eos_stops_at_max_length():
    stepper = TableStepper(0)
    stepper.table[:, EOS] = -math.inf
    for search in (greedy_search, lambda *args: beam_search(*args, beam_size=3)):
        (hypothesis,) = only(search(stepper, [starts(0)], SearchRules(BOS, EOS, 11)))
        assert len(hypothesis.token_ids) == len(hypothesis.log_probs) == 11
        assert hypothesis.is_finished is False


@pytest.mark.parametrize('sentences, beam_size', [((1, 2), 2), ((1,), 0)])
def test_a_tree_is_of_one_sentence(seed, sentences, beam_size):
    with pytest.raises(ValueError, match='expected one sentence and a beam_size of at least 1'):
        search_tree(TableStepper(seed), starts(*sentences), RULES['more than one call'], beam_size)


def test_more_candidates_than_float32_can_count():
    """The best one is the last of 20 million."""
    log_probs = onp.full((50, 400_000), -9.0, dtype='float32')
    log_probs[49, 399_999] = -1.0
    tokens, parents, *_ = best_continuations(
        operators_of(np.zeros(1)), np.array(log_probs), np.zeros((1, 50)), EOS
    )
    assert (int(tokens[0, 0]), int(parents[0, 0])) == (399_999, 49)


@pytest.mark.parametrize(
    'rules',
    [{'min_length': 4}, {'min_length': -1}, {'no_repeat_ngram_size': -1}, {'max_length': 0}],
    ids=str,
)
def test_impossible_rules_are_refused(rules):
    with pytest.raises(ValueError, match='expected a m'):
        SearchRules(BOS, EOS, **{'max_length': 4, **rules})


def test_a_minimum_length_needs_no_graph_for_each_position():
    rules = SearchRules(BOS, EOS, 1000, min_length=10)
    assert len({rules.graph_position(position) for position in range(0, 1000, 4)}) <= 4
