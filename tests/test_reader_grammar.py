"""Constrained decoding: what is written fits the schema; what cannot be kept is refused."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from peakbench.reader import Reader, open_reader
from peakbench.reader.grammar import Grammar
from peakbench.reader.vocabulary import Trie, Vocabulary
from peakbench.serving.base import Prompt, PromptRefused, Sampling

sys.path.insert(0, str(Path(__file__).parent))
from reader_weights import KEYS, answer, vocabulary, write_random_reader  # noqa: E402

WORDS = Vocabulary(vocabulary())
TRIE = Trie.of(WORDS)


def accepts(schema: Any, text: str) -> bool:
    grammar = Grammar(schema, WORDS, TRIE)
    return grammar.complete(grammar.advance(grammar.start, text.encode()))


NULLABLE = {"type": ["string", "null"]}
GARMENT = {
    "type": "object",
    "properties": dict.fromkeys(KEYS, NULLABLE),
    "required": list(KEYS),
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        (
            GARMENT,
            [answer(), answer(type="t-shirt", brand='A "B" \\ C')],
            ["{}", answer() + " ", answer().replace(", ", ",")],
        ),
        ({"type": "integer"}, ["0", "-12", "907"], ["01", "1.0", "-", "", "1e5"]),
        ({"type": "number"}, ["0", "-12.50", "3.0"], [".5", "1.", "--1"]),
        ({"type": "boolean"}, ["true", "false"], ["True", "null"]),
        ({"enum": ["a b", None, 3, "é"]}, ['"a b"', "null", "3", '"\\u00e9"'], ['"a"', "33", '"a b']),
        ({"type": ["string", "null"], "enum": ["a", 3, None]}, ['"a"', "null"], ["3"]),
        ({"const": {"a": [1]}}, ['{"a": [1]}'], ["{}"]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, ["null", "5"], ["true"]),
        ({"type": "array", "items": {"type": "integer"}}, ["[]", "[1]", "[1, 2, 3]"], ["[1,2]", "[1, ]", "[", '["a"]']),
        ({"type": "object"}, ["{}", '{"a": null}', '{"a": {"b": [true]}, "c": "d"}'], ["[]", '{"a"}', '{"a": 1, }']),
        (True, ["null", "[[[]]]", '{"a": [1, "b"]}', "-1.5"], ["", "[[[[]]]]", "nul"]),
        (
            {"type": "object", "properties": {"a": True, "b": True, "c": True}, "required": ["b"]},
            ['{"b": 1}', '{"a": 1, "b": 2}', '{"b": 1, "c": 2}', '{"a": 1, "b": 2, "c": 3}'],
            ["{}", '{"a": 1}', '{"a": 1, "c": 3}', '{"b": 1, "a": 2}', '{, "b": 1}', '{"b": 1, }'],
        ),
        (
            {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}},
            ["{}", '{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}'],
            ['{"a": 1"b": 2}', '{"b": 2, "a": 1}'],
        ),
        ({"type": "object", "properties": {}, "required": ["x"]}, ['{"x": null}'], ["{}", '{"y": null}']),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, ['{"q": 1}'], ['{"q": "1"}']),
        ({"properties": {"a": {"type": "null"}}, "additionalProperties": False}, ["{}", '{"a": null}'], ["null"]),
    ],
)
def test_schemas(schema: Any, right: list[str], wrong: list[str]) -> None:
    for text in right:
        assert accepts(schema, text), text
        jsonschema.validate(json.loads(text), schema)
    for text in wrong:
        assert not accepts(schema, text), text


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        ({"type": "string", "maxLength": 3}, "maxLength"),
        ({"oneOf": [{"type": "string"}]}, "oneOf"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {}}}, r"\$defs"),
        (
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}},
            r"\$\.a has the keyword 'minimum'",
        ),
        ({"type": "text"}, "type"),
        ({"type": []}, "type"),
        ({"type": [{}]}, "type"),
        ({"enum": []}, "no values"),
        ({"enum": [1], "type": "string"}, "no values"),
        ({"enum": [1], "type": 3}, "no values"),
        ({"anyOf": []}, "anyOf"),
        ({"anyOf": [True], "type": "null"}, "anyOf"),
        (False, "false"),
        ([], "cannot be kept"),
        ({"type": "object", "properties": [1]}, "properties"),
        ({"type": "object", "required": "a"}, "required"),
        ({"type": "object", "required": [1]}, "required"),
        ({"type": "object", "required": ["a"], "additionalProperties": False}, "false"),
        ({"enum": ["x" * 200_000]}, "too large"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "array", "items": 3}}}, "3"),
    ],
)
def test_schemas_that_are_refused(schema: Any, named: str) -> None:
    with pytest.raises(PromptRefused, match=named):
        Grammar(schema, WORDS, TRIE)


def test_a_schema_that_is_too_deep_or_wide() -> None:
    deep: dict[str, Any] = {"type": "null"}
    for _ in range(500):
        deep = {"type": "array", "items": deep}
    with pytest.raises(PromptRefused, match="nested deeper"):
        Grammar(deep, WORDS, TRIE)
    wide: Any = True
    for _ in range(6):
        wide = {"anyOf": [wide] * 12}
    with pytest.raises(PromptRefused, match="too large"):
        Grammar(wide, WORDS, TRIE)


def test_a_vocabulary_that_does_not_spell_every_text() -> None:
    words = Vocabulary([b"", b"{", b"}"])
    with pytest.raises(PromptRefused, match="does not spell"):
        Grammar({"type": "object"}, words, Trie.of(words))


def test_the_tokens_allowed_are_those_that_can_be_gone_on_with() -> None:
    grammar = Grammar(GARMENT, WORDS, TRIE)
    for text in ("", '{"type": ', '{"type": "', '{"type": "a\\', '{"type": null', answer()[:-1], answer()):
        state = grammar.advance(grammar.start, text.encode())
        allowed = grammar.allowed(state)
        for i, token in enumerate(WORDS.tokens):
            assert allowed[i] == bool(token and grammar.advance(state, token)), (text, token)


LEAVES = st.sampled_from(
    [{"type": kind} for kind in ("null", "boolean", "integer", "string")] + [NULLABLE, {"enum": ["a", None]}]
)
SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda item: {"type": "array", "items": item}, inner),
        st.builds(
            lambda properties, cut: {
                "type": "object",
                "properties": properties,
                "required": list(properties)[cut:],
                "additionalProperties": False,
            },
            st.dictionaries(st.text("abé ", min_size=1, max_size=3), inner, max_size=3),
            st.integers(0, 3),
        ),
    ),
    max_leaves=4,
)


@settings(deadline=None, max_examples=60)
@given(SCHEMAS, st.integers(0, 2**32 - 1))
def test_whatever_is_written_by_chance_fits_the_schema(schema: dict[str, Any], seed: int) -> None:
    grammar, generator = Grammar(schema, WORDS, TRIE), np.random.default_rng(seed)
    state, text = grammar.start, b""
    for at in range(400):
        choices = np.flatnonzero(grammar.allowed(state))
        assert len(choices) or grammar.complete(state)
        if grammar.complete(state) and (not len(choices) or generator.random() < 0.5):
            jsonschema.validate(json.loads(text), schema)
            return
        token = WORDS.tokens[generator.choice(choices)]
        if at > 60:  # come to an end: the tokens that close what is open
            token = min((WORDS.tokens[i] for i in choices), key=lambda t: (t not in (b'"', b"]", b"}"), len(t), t))
        state, text = grammar.advance(state, token), text + token
    assume(False)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return open_reader(write_random_reader(tmp_path_factory.mktemp("reader")))


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), "navy").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_reader_is_held_to_a_schema(reader: Reader) -> None:
    choices = {"enum": ["t-shirt", "pullover", "rain", None]}
    schema = {**GARMENT, "properties": dict.fromkeys(KEYS, choices)}
    for temperature in (0.0, 1.0, 3.0):
        sampling = Sampling(temperature=temperature, seed=5, n=4, schema=schema, logprobs=2)
        for written in reader.generate([Prompt((picture(),), "", sampling)])[0]:
            assert written.finish_reason == "stop"
            value = json.loads(written.text)
            jsonschema.validate(value, schema)
            assert written.text == json.dumps(value)
    free = reader.generate([Prompt((picture(),), "", Sampling(temperature=0.0, max_tokens=1, logprobs=2))])[0][0]
    held = reader.generate([Prompt((picture(),), "", Sampling(temperature=0.0, schema=schema, logprobs=2))])[0][0]
    assert held.tokens[0].top == free.tokens[0].top  # the whole distribution, before the schema forbids anything
    assert held.tokens[0].logprob < free.tokens[0].logprob


def test_schemas_of_one_batch_do_not_mix(reader: Reader) -> None:
    schemas = [None, {"const": "a"}, {"type": "object"}, {"enum": [1, 2]}]
    prompts = [Prompt((picture(),), "", Sampling(temperature=1.0, seed=1, max_tokens=9, schema=s)) for s in schemas]
    together = [choices[0] for choices in reader.generate(prompts)]
    assert together == [reader.generate([prompt])[0][0] for prompt in prompts]
    assert together[1].text == '"a"'
    assert together[2].text.startswith("{")
    assert together[3].text in {"1", "2"}
