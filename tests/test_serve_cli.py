"""``peakbench serve``: what it says, where it listens, how it ends."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from urllib.request import Request, urlopen

import pytest

from peakbench.cli import main
from peakbench.errors import InputError
from peakbench.serving import Generation, Prompt, Token


class Fake:
    def __init__(self, name: str) -> None:
        self.name = name
        self.context = 500

    def prompt_tokens(self, prompt: Prompt) -> int:
        return len(prompt.text)

    def generate(self, prompts):
        return [[Generation((Token(0, self.name),))] for _ in prompts]


@pytest.fixture
def asked(monkeypatch, capsys):
    """Run a command in this process and, once it has written its address, do something; then end it as Ctrl-C does."""

    def open_reader(name: str) -> Fake:
        if name == "raeder":
            raise InputError("no reader 'raeder'", hint="did you mean 'reader'?")
        return Fake(name)

    monkeypatch.setattr("peakbench.reader.open_reader", open_reader, raising=False)

    def call(*arguments: str, then=lambda url: None, end: signal.Signals = signal.SIGINT):
        found: list[object] = []
        told: list[str] = []
        monkeypatch.setattr("click.echo", lambda text="", **rest: told.append(str(text)))

        def use() -> None:
            until = time.monotonic() + 20
            while not any(line.startswith("http") for line in told) and time.monotonic() < until:
                time.sleep(0.01)
            try:
                found.append(then(next(line for line in told if line.startswith("http"))))
            finally:
                os.kill(os.getpid(), end)

        thread = threading.Thread(target=use)
        thread.start()
        code = main(["serve", *arguments])
        thread.join()
        return code, told, found[0]

    return call


def ask(url: str, model: str | None = None):
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}], "temperature": 0}).encode()
    request = Request(url + "/chat/completions", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=20) as response:
        return json.loads(response.read())["choices"][0]["message"]["content"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_the_reader_until_it_is_told_to_end(asked, end):
    before = signal.getsignal(end)
    code, told, found = asked("--port", "0", then=ask, end=end)
    assert code == 0
    assert found == "reader"
    assert told[0].startswith("http://127.0.0.1:")
    assert told[1].startswith(f"try: peakbench run --endpoint {told[0]} --model reader ")
    assert told[-1] == "the server has ended"
    assert signal.getsignal(end) is before
    with pytest.raises(OSError):
        urlopen(told[0] + "/models", timeout=2)


def test_it_serves_several_by_name(asked):
    code, _, found = asked("reader", "./folder", "--port", "0", then=lambda url: [ask(url), ask(url, "./folder")])
    assert code == 0
    assert found == ["reader", "./folder"]


def test_another_address_than_loopback_comes_with_a_warning(asked):
    code, told, found = asked("--port", "0", "--host", "0.0.0.0", then=ask)
    assert (code, found) == (0, "reader")
    assert told[0].startswith("warning: --host 0.0.0.0: other machines can ask")
    assert any(line.startswith("http://127.0.0.1:") for line in told)  # an address that can be asked


def test_what_cannot_be_served_is_said(asked, capsys):
    assert main(["serve", "raeder"]) == 2
    assert "did you mean 'reader'?" in capsys.readouterr().err
    assert main(["serve", "reader", "reader", "--port", "0"]) == 2
    assert "each with a name of its own" in capsys.readouterr().err
    assert main(["serve", "--host", "192.0.2.1", "--port", "0"]) == 2
    assert "cannot listen at 192.0.2.1:0" in capsys.readouterr().err
