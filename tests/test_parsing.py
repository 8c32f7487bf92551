"""What an answer can be. Valid and invalid JSON after RFC 8259, with the section beside each case; values against the
standard library's json module."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from peakbench.parsing import MAX_CHARS, MAX_DEPTH, MAX_REPAIR_CHARS, REASONS, Parsed, parse, read
from peakbench.records import READ, Completion, Failure, Problem, Response

KEYS = frozenset({"a", "b"})


def reason(parsed: Parsed) -> str | None:
    return parsed.problem.reason if parsed.problem else None


def fails(text, expected, position=None, keys=KEYS):
    found = parse(text, keys=keys)
    assert (found.state, found.value, reason(found)) == ("unparseable", None, expected)
    if position is not None:
        assert found.problem.position == position


def found(text, value, state="extracted", keys=KEYS):
    parsed = parse(text, keys=keys)
    assert (parsed.state, parsed.value) == (state, value)
    return parsed


class TestStrict:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ('{"a":1}', {"a": 1}),
            (' \t\r\n{"a":1}\n', {"a": 1}),  # section 2: whitespace
            ('{"a":1,"b":null}', {"a": 1, "b": None}),
            ('{"a":{"b":[{"a":[]}]}}', {"a": {"b": [{"a": []}]}}),
            ('{"a":-0.5e-3}', {"a": -0.0005}),  # section 6: numbers
            ('{"a":18446744073709551615}', {"a": 18446744073709551615}),
            ('{"a":"\\u00e9\\ud83d\\ude00\\/\\"\\\\"}', {"a": 'é😀/"\\'}),  # section 7: escapes
            ('{"a":"\\u0000"}', {"a": "\0"}),
            ('{"a":"\u2028\x7f"}', {"a": "\u2028\x7f"}),  # section 7: only U+0000 to U+001F must be escaped
            ('{"a":"<think>"}', {"a": "<think>"}),
            ('{"a":"</think>{}"}', {"a": "</think>{}"}),
            ('{"a":"```{}```","b":"[{"}', {"a": "```{}```", "b": "[{"}),
        ],
    )
    def test_one_object_and_nothing_else(self, text, value):
        assert found(text, value, "strict").problem is None

    @pytest.mark.parametrize(
        ("text", "expected", "position"),
        [
            ('{"a":1,}', "invalid_json", 6),  # section 4: a comma stands between members
            ('{"a" 1}', "invalid_json", 5),
            ('{"a":1 "b":2}', "invalid_json", 7),
            ("{'a':1}", "invalid_json", 1),  # section 7: strings are in quotation marks
            ("{a:1}", "invalid_json", 1),  # section 4: a name is a string
            ('{/* c */"a":1}', "invalid_json", 1),
            ('{"a":01}', "invalid_json", 5),  # section 6: no leading zeros
            ('{"a":.5}', "invalid_json", 5),
            ('{"a":+1}', "invalid_json", 5),
            ('{"a":0x1F}', "invalid_json", 6),
            ('{"a":True}', "invalid_json", 5),  # section 3: literal names are lowercase
            ('{"a":"\t"}', "invalid_json", 6),  # section 7: control characters must be escaped
            ('{"a":"\0"}', "invalid_json", 6),
            ('{"a":"\\q"}', "invalid_json", 6),
            ('{"a":"\\u00g0"}', "invalid_json", 6),
            ('{"a":[1}', "invalid_json", 7),
            ('{"a": "5" tall"}', "invalid_json", 10),
            ('{"a":NaN}', "not_a_number", 5),  # section 6: Infinity and NaN are not permitted
            ('{"a":Infinity}', "not_a_number", 5),
            ('{"a":-Infinity}', "not_a_number", 5),
            ('{"a":1e400}', "not_a_number", 5),
            ('{"a":' + "9" * 10_000 + "}", "not_a_number", 5),
            ('{"é😀":NaN,"a":1}', "not_a_number", 6),  # positions count characters
            ('{"a":"\\ud800"}', "lone_surrogate", 6),  # section 8.2
            ('{"a":"\\udc00"}', "lone_surrogate", 6),
            ('{"a":"\\ud800\\u0041"}', "lone_surrogate", 6),
            ('{"a":"\ud800"}', "lone_surrogate", 6),
            ('{"a":"x', "truncated_object", 7),
            ('{"a":1', "truncated_object", 6),
            ('{"a":', "truncated_object", 5),
            ("{", "no_object", None),
            ("", "empty", None),
            (" \n", "empty", None),
            (None, "empty", None),
            ("null", "top_level_scalar", 0),
            ('"{}"', "top_level_scalar", 0),
            ("12", "top_level_scalar", 0),
            ("NaN", "not_a_number", 0),
            ("[]", "top_level_array", 0),
            ('[{"a":1}]', "top_level_array", 0),
        ],
    )
    def test_what_is_not_json_has_a_name_and_a_position(self, text, expected, position):
        fails(text, expected, position)

    def test_integers_beyond_64_bits_become_doubles(self):
        found('{"a":123456789012345678901234567890}', {"a": 1.2345678901234568e29}, "strict")

    def test_byte_order_mark_is_other_text(self):
        # Section 8.1: a parser may ignore it. The text is not one object, so the answer is extracted.
        found('\ufeff{"a":1}', {"a": 1})


class TestExtracted:
    @pytest.mark.parametrize(
        "text",
        [
            '```json\n{"a":1}\n```',
            '```\n{"a":1}',
            'Sure! Here it is:\n\n{"a":1}\n\nLet me know.',
            'Keep {braces} out, and { too: {"a":1}',
            'as said in [1] and [2, 3]: {"a":1} [done]',
            '[see {"a":1}]',
            'ends with a brace } {"a":1}',
            'it\'s 5" wide {"a":1} or 6"',
            '\ud800 {"a":1}',
            '{{"a":1}}',
            'In the form {"a": <color>}: {"a":1}',
            '<answer>{"a":1}</answer>',
        ],
    )
    def test_one_object_in_other_text(self, text):
        found(text, {"a": 1})

    def test_what_was_overlooked_is_named(self):
        parsed = found('In the form {"a": <color>}: {"a":1}', {"a": 1})
        assert (reason(parsed), parsed.problem.position) == ("invalid_json", 18)

    @pytest.mark.parametrize(
        ("text", "position"),
        [
            ('{"a":1}{"a":1}', 7),  # equal ones are several all the same
            ('{"a":1}\n{"a":2}', 8),
            ('For example {"a":1}.\n```json\n{"a":2}\n```', 29),
            ('{"a":1} and [{"a":2}]', 12),
            ("{} {} {} {}", 3),
        ],
    )
    def test_several_objects(self, text, position):
        fails(text, "several_objects", position)

    @pytest.mark.parametrize(
        ("text", "position"),
        [
            ('```json\n[{"a":1}]\n```', 8),
            ('[[{"a":1}]]', 0),
            ('Items: [1, {"a":1}]', 7),
            ('[{"a":1}', 0),
            ('[{"a":1}, ...]', 0),
        ],
    )
    def test_objects_in_an_array(self, text, position):
        fails(text, "top_level_array", position)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ('{"x": {"a":1}', "truncated_object"),
            ('so: {"x": {"a":1}, "y": "', "truncated_object"),
            ('a quoted "{" and {"a":1}', "invalid_json"),  # may be an object, broken at its first key
            ("{'x': {\"a\":1}}", "invalid_json"),
            ('{x: {"a":1}}', "invalid_json"),
            ('{"x": {"a":1},}', "invalid_json"),
            ('{"x": NaN, "y": {"a":1}}', "not_a_number"),
        ],
    )
    def test_an_inner_object_is_never_the_answer(self, text, expected):
        fails(text, expected)

    def test_plain_text(self):
        fails("I cannot see a garment.", "no_object")
        fails("[1, 2]: {braces}", "no_object")


class TestReasoning:
    @pytest.mark.parametrize(
        "text",
        [
            '<think>{"a":2}</think>{"a":1}',
            '<think>\n{"a":2} or {"a":3}, {"b\n</think>\n\n```json\n{"a":1}\n```',
            '<thinking>{"a":2}</thinking>{"a":1}',
            '<reasoning>[{"a":2}]</reasoning>{"a":1}',
            '<THINK>x</THINK>{"a":1}',
            '[THINK]{"a":2}[/THINK]{"a":1}',
            '◁think▷{"a":2}◁/think▷{"a":1}',
            '<|START_THINKING|>{"a":2}<|END_THINKING|>{"a":1}',
            '<think>a</think><think>{"a":2}</think>{"a":1}',
            '<think>a <think> {"a":2}</think>{"a":3}</think>{"a":1}',
            # the server stripped the opening tag
            'I see {"a":2}</think>{"a":1}',
            'I see {"a": {"b" </think>{"a":1}',
            'I\'d say "a" {"a</think>{"a":1}',
            '[{"a":2}, </think>{"a":1}',
            # the answer may speak of tags
            '<think>x</think>{"a":1} <think>never closed {"a":2}',
            # gpt-oss
            '<|channel|>analysis<|message|>{"a":2}<|end|><|start|>assistant<|channel|>final<|message|>{"a":1}<|return|>',
            'analysisThe user wants {"a":2}.assistantfinal{"a":1}',
        ],
    )
    def test_objects_in_reasoning_do_not_count(self, text):
        found(text, {"a": 1})

    def test_a_tag_inside_a_string_is_text(self):
        found('Here: {"a":"<think>"} it is', {"a": "<think>"})
        found('Here: {"a":"</think>"} it is', {"a": "</think>"})

    @pytest.mark.parametrize(
        ("text", "expected", "position"),
        [
            ('<think>{"a":1}', "unclosed_reasoning", 0),
            ('ok <think> so {"a":1} it is', "unclosed_reasoning", 3),
            ('<think>{"a":1}</think>', "reasoning_only", 22),
            ('{"a":1}</think> done', "reasoning_only", 15),
            ('<think>x</think>{"a":1}{"a":2}', "several_objects", 23),
            ('{"a":1}<think>x</think>{"a":2}', "several_objects", 23),
            ('<think>x</think>{"a":', "truncated_object", 21),
        ],
    )
    def test_no_answer_after_it(self, text, expected, position):
        fails(text, expected, position)


class TestKeys:
    @pytest.mark.parametrize("text", ["{}", '{"A":1}', '{"aB":1,"c":{"a":1}}', '{" a":1}'])
    def test_not_one_expected_key(self, text):
        parsed = parse(text, keys=KEYS)
        assert (parsed.state, parsed.value, reason(parsed)) == ("off_schema", None, "no_expected_key")
        assert parsed.extra == tuple(json.loads(text))

    def test_off_schema_inside_other_text(self):
        parsed = parse('so {"A":1}', keys=KEYS)
        assert (parsed.state, parsed.problem.position) == ("off_schema", 3)

    def test_extra_keys_are_named_and_bounded(self):
        assert found('{"a":1,"c":2,"d":3}', {"a": 1, "c": 2, "d": 3}, "strict").extra == ("c", "d")
        many = {"a": 1} | {str(i) * 100: 1 for i in range(10, 100)}
        extra = parse(json.dumps(many), keys=KEYS).extra
        assert len(extra) == 32
        assert {len(name) for name in extra} == {64}

    def test_without_keys_every_object_is_read(self):
        assert parse('{"x":1}', keys=()).state == "strict"

    @pytest.mark.parametrize(
        ("text", "value", "count"),
        [
            ('{"a":1,"a":2}', {"a": 2}, 1),
            ('{"a":"x","a":2,"a":"y"}', {"a": "y"}, 2),
            ('{"a":1,"\\u0061":2}', {"a": 2}, 1),
            ('{"a":{"c":1,"c":2},"b":[{"d":1,"d":1}]}', {"a": {"c": 2}, "b": [{"d": 1}]}, 2),
            ('{"a":"say \\"x\\"","b":1}', {"a": 'say "x"', "b": 1}, 0),
            ('{"a":{"c":1},"b":{"c":1}}', {"a": {"c": 1}, "b": {"c": 1}}, 0),
        ],
    )
    def test_the_last_duplicate_wins_and_is_counted(self, text, value, count):
        parsed = found(text, value, "strict")
        assert parsed.duplicates == count
        assert reason(parsed) == ("duplicate_keys" if count else None)

    def test_duplicates_in_an_extracted_object(self):
        assert found('so {"a":1,"a":2}', {"a": 2}).duplicates == 1


class TestRepair:
    @pytest.mark.parametrize(
        ("text", "value", "overlooked"),
        [
            ("{'a': 1, 'b': {}}", {"a": 1, "b": {}}, "invalid_json"),
            ('{"a":1,}', {"a": 1}, "invalid_json"),
            ('{a: "x"}', {"a": "x"}, "invalid_json"),
            ('{"a": True, "b": None}', {"a": True, "b": None}, "invalid_json"),
            ('{"a":1', {"a": 1}, "truncated_object"),
            ('Here you are [1]: {"a":1,} and that is that.', {"a": 1}, "invalid_json"),
        ],
    )
    def test_only_when_asked_for(self, text, value, overlooked):
        fails(text, overlooked)
        parsed = parse(text, keys=KEYS, repair=True)
        assert (parsed.state, parsed.value, reason(parsed)) == ("repaired", value, overlooked)

    @pytest.mark.parametrize(
        "text",
        [
            "I see {a dog}",
            '{"a": NaN}',
            '{"a":"\\ud800"}',
            '[{"a":1}]',
            '{"a":1}{"a":2}',
            "{'a':1} {'a':2}",
            "{'c': 1}",
            '<think>{"a":1,',
            "x",
            "{'a': '" + "x" * MAX_REPAIR_CHARS + "'}",
            "{'a':" * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
        ],
    )
    def test_what_repair_would_have_to_guess_stays_unparseable(self, text):
        assert parse(text, keys=KEYS, repair=True).state == "unparseable"

    @pytest.mark.parametrize("text", ['{"a":1}', 'x {"a":1} y', '{"c":1}'])
    def test_what_is_valid_is_left_alone(self, text):
        assert parse(text, keys=KEYS, repair=True) == parse(text, keys=KEYS)


class TestLimits:
    def test_depth(self):
        def nested(n):
            return '{"a":' * n + "1" + "}" * n

        assert parse(nested(MAX_DEPTH), keys=KEYS).state == "strict"
        assert parse("so " + nested(MAX_DEPTH), keys=KEYS).state == "extracted"
        for text in (nested(MAX_DEPTH + 1), nested(2000), nested(100_000)):
            fails(text, "too_deep", 5 * MAX_DEPTH)
            fails("so " + text, "too_deep", 5 * MAX_DEPTH + 3)
        fails('{"a":' + "[" * 64 + "]" * 64 + "}", "too_deep", 68)

    def test_size(self):
        longest = '{"a":"' + "x" * (MAX_CHARS - 8) + '"}'
        assert parse(longest, keys=KEYS).state == "strict"
        fails(longest + " ", "too_large", MAX_CHARS)
        fails('{"a":"' + "x" * 10_000_000 + '"}', "too_large", MAX_CHARS)

    @pytest.mark.parametrize(
        "unit",
        [
            *("{", "[", "[x", '["', '{"', "{}", '{"a":', '{"a"}', "{a:", "{'", '{"a":[', "[{", "[1]", "[{]", "{ ", '"'),
            *("<think>", "</think>", "<think></think>", '{"</think>', '{"a":1}</think>', "<", "<|channel|>analysis "),
            *("\\", '\\"', '"{', '"\\', "\ud800", "\0", '{"a":1}', "{a:}", "}", "analysis{assistantfinal"),
        ],
    )
    @pytest.mark.parametrize("start", ["", 'x{"a":"', "[{"])
    @pytest.mark.timeout(30)  # far above what linear work on 1 MiB costs, far below what quadratic work does
    def test_much_of_anything_takes_linear_time(self, unit, start):
        parsed = parse(start + unit * ((MAX_CHARS - 16) // len(unit)), keys=KEYS)
        assert parsed.state == "unparseable"
        assert reason(parsed) in REASONS

    @pytest.mark.parametrize("unit", ['"', "a ", "\\", "{a:b,", "'", '"a" "b" ', ",", "“", "/*", '"x" y '])
    @pytest.mark.timeout(30)
    def test_repair_is_bounded(self, unit):
        for start in ('{"a": ', "{'a': "):
            parsed = parse((start + unit * MAX_REPAIR_CHARS)[:MAX_REPAIR_CHARS], keys=KEYS, repair=True)
            assert (parsed.value is None) == (parsed.state not in READ)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from("ab") | st.text(max_size=8), VALUES, max_size=9)
PIECES = st.sampled_from(
    [
        *"{}[]\"\\:,' \n",
        '{"a":1}',
        '"a"',
        "null",
        "NaN",
        "<think>",
        "</think>",
        "```json\n",
        "\ud800",
        "é",
        "{'a':",
        "1e999",
    ]
)
HOSTILE = st.text() | st.lists(PIECES, max_size=24).map("".join)


class TestProperties:
    @settings(deadline=None, max_examples=300)
    @given(HOSTILE, st.booleans())
    @example("\ud800{", True)
    def test_any_text_has_a_named_state(self, text, repair):
        parsed = parse(text, keys=KEYS, repair=repair)
        assert parsed.state in {"strict", "extracted", "repaired", "unparseable", "off_schema"}
        assert (parsed.value is None) == (parsed.state in {"unparseable", "off_schema"})
        assert repair or parsed.state != "repaired"
        if parsed.problem is None:
            assert parsed.value is not None
        else:
            assert parsed.problem.reason in REASONS
            assert parsed.problem.position is None or 0 <= parsed.problem.position <= len(text)
            assert len(parsed.problem.detail) < 1000
        if parsed.state == "strict":
            assert json.loads(text) == parsed.value
        json.dumps(parsed.value, allow_nan=False).encode()

    @settings(deadline=None, max_examples=200)
    @given(OBJECTS, st.booleans(), st.sampled_from(["", " ", "Here: ", "```json\n", "<think>{</think>", "[2] "]))
    def test_a_dumped_object_comes_back(self, value, ascii_only, before):
        text = json.dumps(value, ensure_ascii=ascii_only)
        parsed = parse(before + text, keys=KEYS)
        if KEYS & value.keys():
            assert parsed.state == ("extracted" if before.strip() else "strict")
            assert parsed.value == value
        else:
            assert parsed.state == "off_schema"
        assert parsed.duplicates == 0
        assert len(parsed.extra) == len(value.keys() - KEYS)

    @settings(deadline=None, max_examples=200)
    @given(st.lists(st.tuples(st.sampled_from(["a", "b", 'q"', "c"]), VALUES), min_size=1, max_size=8))
    def test_duplicates_are_what_the_pairs_say(self, members):
        text = "{" + ",".join(f"{json.dumps(name)}:{json.dumps(value)}" for name, value in members) + "}"
        parsed = parse(text, keys={"a", "b", "c", 'q"'})
        assert parsed.value == dict(members)
        assert parsed.duplicates == len(members) - len(dict(members))


class TestRead:
    @staticmethod
    def answer(text="", **response):
        return Completion("p1", 2, Response(text, **response))

    def test_failed(self):
        completion = Completion("p1", 2, None, Failure("timeout", "no answer within 120 s"))
        prediction = read(completion, keys=KEYS, answer="json")
        assert (prediction.sample_id, prediction.repeat, prediction.state) == ("p1", 2, "failed")
        assert prediction.problem == Problem("timeout", None, "no answer within 120 s")
        assert prediction.completion is completion
        assert not prediction.read

    def test_parsed_is_carried_over(self):
        text = 'so {"a":1,"a":2,"c":3}'
        prediction = read(self.answer(text), keys=KEYS, answer="json")
        parsed = parse(text, keys=KEYS)
        assert (prediction.state, prediction.value, prediction.problem) == parsed[:3]
        assert (prediction.duplicates, prediction.extra, prediction.truncated) == (1, ("c",), False)
        assert prediction.read

    def test_repair_is_passed_on(self):
        assert read(self.answer("{'a':1}"), keys=KEYS, answer="json", repair=True).state == "repaired"

    @pytest.mark.parametrize("answer", ["json", "text"])
    @pytest.mark.parametrize(
        ("response", "expected", "detail"),
        [
            ({"text": None, "refusal": "I can't help."}, "refusal", "I can't help."),
            ({"text": '{"a":1}', "refusal": "No."}, "refusal", "No."),
            ({"text": "", "finish_reason": "content_filter"}, "refusal", "content_filter"),
            ({"text": "", "reasoning": "hm " * 5, "finish_reason": "length"}, "reasoning_only", "token limit"),
            ({"text": " \n", "reasoning": "hm"}, "reasoning_only", "2 characters"),
            ({"text": None}, "empty", "null"),
            ({"text": " \n"}, "empty", "empty"),
        ],
    )
    def test_silence_is_named(self, answer, response, expected, detail):
        prediction = read(self.answer(**response), keys=KEYS, answer=answer)
        assert (prediction.state, prediction.value, prediction.problem.reason) == ("unparseable", None, expected)
        assert detail in prediction.problem.detail
        assert prediction.truncated == (response.get("finish_reason") == "length")

    def test_text_is_taken_as_it_stands(self):
        prediction = read(self.answer(" A red shirt.\n", finish_reason="length"), keys=(), answer="text")
        assert (prediction.state, prediction.value, prediction.truncated) == ("text", " A red shirt.\n", True)
