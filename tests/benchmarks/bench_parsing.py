"""How long an answer takes to read: python tests/benchmarks/bench_parsing.py

Microseconds an answer (best of 7), for a nine-field answer in several forms, beside the JSON readers alone; then
milliseconds for one mebibyte of hostile text.
"""

from __future__ import annotations

import json
import time
import timeit

import orjson

from peakbench.parsing import parse, read
from peakbench.records import Completion, Response

ANSWER = json.dumps(
    {
        "type": "t-shirt",
        "color": "navy blue",
        "pattern": "graphic print",
        "neckline": "crew neck",
        "sleeve_length": "short sleeve",
        "closure": "pullover",
        "brand": None,
        "size": "M",
        "defect_type": None,
    }
)
KEYS = frozenset(json.loads(ANSWER))
FORMS = {
    "strict": ANSWER,
    "strict, an escaped quote": ANSWER.replace('"M"', '"32\\" waist"'),
    "strict, a duplicate key": ANSWER[:-1] + ', "size": "L"}',
    "code fence": f"```json\n{ANSWER}\n```",
    "after reasoning": "<think>" + "The shirt is navy {or black}. " * 40 + f"</think>\n\n{ANSWER}",
    "truncated": ANSWER[:-30],
    "refusal in prose": "I'm sorry, I cannot see a garment in this image.",
}
HOSTILE = ["{", "[", '{"a":', '{"', '{"a"}', "{}", "{'", "[x", "[1]", '{"</think>', "<think></think>", '\\"', "{a:"]


def microseconds(function: object, number: int = 20_000) -> float:
    """Best of seven."""
    return min(timeit.repeat(function, number=number, repeat=7)) / number * 1e6  # type: ignore[arg-type]


def main() -> None:
    """Print both tables."""
    print(f"{'nine fields':32}{'us':>8}")
    print(f"{'orjson.loads':32}{microseconds(lambda: orjson.loads(ANSWER)):8.2f}")
    print(f"{'json.loads':32}{microseconds(lambda: json.loads(ANSWER)):8.2f}")
    for name, text in FORMS.items():
        print(f"{'parse, ' + name:32}{microseconds(lambda text=text: parse(text, keys=KEYS)):8.2f}")
    completion = Completion("p1", 0, Response(ANSWER, finish_reason="stop"))
    print(f"{'read, strict':32}{microseconds(lambda: read(completion, keys=KEYS, answer='json')):8.2f}")
    print(f"\n{'1 MiB of':32}{'ms':>8}")
    for unit in HOSTILE:
        text = unit * ((1 << 20) // len(unit))
        begin = time.process_time()
        reason = parse(text, keys=KEYS).problem
        print(f"{unit:32}{(time.process_time() - begin) * 1e3:8.0f}  {reason.reason if reason else ''}")


if __name__ == "__main__":
    main()
