"""Other execution providers: used only where they are there and say what the CPU says."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest

from anonymize.detect import load_packaged, providers
from anonymize.detect.session import NetworkSession
from anonymize.errors import ModelError, UsageError

SHAPES = {f"level{s}": (1, 6, 64 // s, 96 // s) for s in (8, 16, 32)}


class OtherSession:
    """A session that says it is another provider, and adds `error` to the CPU's answers."""

    def __init__(self, session, provider: str, error: float) -> None:
        self._session, self._provider, self._error = session, provider, error

    def __getattr__(self, name: str):
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return [self._provider, providers.CPU]

    def run(self, names, feed):
        return [output + np.float32(self._error) for output in self._session.run(names, feed)]


@pytest.fixture
def other(monkeypatch):
    """`other(error)`: the runtime offers XNNPACK, which is the CPU with that error; an exception is raised at start."""

    def offer(error) -> None:
        real = onnxruntime.InferenceSession
        xnnpack = providers.PROVIDERS["xnnpack"][0]

        def start(content, options, providers):
            if providers[0][0] != xnnpack:
                return real(content, options, providers=providers)
            if isinstance(error, Exception):
                raise error
            return OtherSession(real(content, options, providers=["CPUExecutionProvider"]), xnnpack, error)

        monkeypatch.setattr(onnxruntime, "InferenceSession", start)
        monkeypatch.setattr(
            onnxruntime, "get_available_providers", lambda: [xnnpack, "AzureExecutionProvider", providers.CPU]
        )

    return offer


@pytest.mark.parametrize("name", ["drive", "drive-int8"])
@pytest.mark.parametrize("error", [0.0, 0.09])
def test_a_provider_that_agrees_with_the_cpu_is_used(other, error, name):
    other(error)
    session = NetworkSession(load_packaged(name), provider="xnnpack")
    session.bind(64, 96, SHAPES)
    assert session.provider == "XnnpackExecutionProvider" and session.fault == ""


@pytest.mark.parametrize("error", [0.11, -3.0, float("nan"), float("inf")])
def test_a_provider_that_disagrees_is_refused_or_replaced(other, error):
    other(error)
    session = NetworkSession(load_packaged(), provider="xnnpack")
    with pytest.raises(ModelError, match=r"differs from the CPU by .* at 96 x 64 px"):
        session.bind(64, 96, SHAPES)
    session = NetworkSession(load_packaged(), provider="xnnpack", fallback=True)
    network = session.bind(64, 96, SHAPES)
    network.run()
    assert session.provider == providers.CPU and "differs from the CPU" in session.fault
    assert all(np.isfinite(output).all() for output in network.outputs.values())


def test_a_provider_that_does_not_start_is_refused_or_replaced(other):
    other(RuntimeError("no such device"))
    with pytest.raises(ModelError, match="no such device"):
        NetworkSession(load_packaged(), provider="xnnpack")
    session = NetworkSession(load_packaged(), provider="xnnpack", fallback=True)
    assert session.provider == providers.CPU and "no such device" in session.fault


def test_what_the_runtime_does_not_offer_is_named(other):
    other(0.0)
    with pytest.raises(UsageError, match="'cuda'; the installed runtime offers cpu, xnnpack"):
        NetworkSession(load_packaged(), provider="cuda")
    assert NetworkSession(load_packaged(), provider="cuda", fallback=True).provider == providers.CPU
    for fallback in (False, True):
        with pytest.raises(UsageError, match="wanted one of cpu, openvino"):
            NetworkSession(load_packaged(), provider="azure", fallback=fallback)


def test_the_cpu_is_the_cpu_alone(monkeypatch):
    session = NetworkSession(load_packaged())
    assert session.provider == providers.CPU and session._session.get_providers() == [providers.CPU]


def test_outputs_of_another_shape_never_agree():
    a, b = np.zeros((1, 6, 2, 2), np.float32), np.zeros((1, 6, 2, 3), np.float32)
    assert providers.largest_difference([a], [b]) == float("inf")
    assert providers.largest_difference([a], [a + 0.25]) == 0.25
