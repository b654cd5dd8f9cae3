"""The network's run: ONNX Runtime from checked bytes, on arrays that are allocated once.

The one module that imports onnxruntime; its exceptions become `ModelError` or `DetectorError`.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.detect import providers
from anonymize.detect.manifest import Model
from anonymize.errors import DetectorError, ModelError, UsageError

Tensor = npt.NDArray[np.float32]
InputTensor = npt.NDArray[Any]  # float32 or uint8
SILENCE: Final = "ORT_DISABLE_TELEMETRY"  # onnxruntime's Privacy.md, "Disabling Telemetry"
NO_FOLDER: Final = "/nonexistent"  # where external data files would be looked for: they are refused
LARGE_PAGE_BYTES: Final = 2 << 20


def load_runtime() -> Any:
    """The module `onnxruntime`, told before it is loaded that it may send nothing (SAFETY 23).

    Its official wheels since 1.29 send events to their maker over the network, from C++ where no audit hook of Python
    sees it, and keep a device's identifier in the home folder. The variable stops all of it, but only before the first
    import; an application that imports onnxruntime itself sets it too.

    Raises
    ------
    ModelError
        It cannot be imported.
    """
    if "onnxruntime" in sys.modules and os.environ.get(SILENCE) != "1":
        warnings.warn(f"onnxruntime was imported without {SILENCE}=1: it may use the network", stacklevel=2)
    os.environ[SILENCE] = "1"
    try:
        import onnxruntime
    except ImportError as fault:
        raise ModelError(f"onnxruntime cannot be imported: {fault}") from None
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def make_input(height: int, width: int, *, of_bytes: bool = False) -> InputTensor:
    """An input of zeros, (1, 3, H, W) float32 or (1, H, W, 3) uint8, that begins at a large page where there are some.

    The picture is written into three far places at once, after the network has pushed its addresses out of the
    processor's tables: with 2 pages to find instead of 720, 1080p NV12 to 640 x 384 takes 0.04 to 0.06 ms less.
    """
    shape = (1, height, width, 3) if of_bytes else (1, 3, height, width)
    dtype = np.dtype(np.uint8 if of_bytes else np.float32)
    size = math.prod(shape) * dtype.itemsize
    # two at least: from 4 MiB on numpy asks Linux for large ones
    memory = np.zeros((-(-size // LARGE_PAGE_BYTES) + 1) * LARGE_PAGE_BYTES, np.uint8)
    start = -memory.ctypes.data % LARGE_PAGE_BYTES
    return memory[start : start + size].view(dtype).reshape(shape)


def takes_bytes(session: Any) -> bool:
    """Whether a session of the runtime reads the picture as it is, (1, H, W, 3) uint8, and not normalised floats."""
    return bool(session.get_inputs()[0].type == "tensor(uint8)")


class BoundNetwork:
    """A network with the arrays for one input size.

    Attributes
    ----------
    input : (1, 3, H, W) float32 or (1, H, W, 3) uint8
        Fill it before `run`.
    channels : (3, H, W) view
        Of the input.
    outputs : mapping of name to float32 array
        Filled by `run`.
    """

    def __init__(
        self,
        session: Any,
        name: str,
        size: tuple[int, int],
        shapes: Mapping[str, tuple[int, ...]],
        run_options: Any,
    ) -> None:
        self._session, self._name = session, name
        self._run_options = run_options
        of_bytes = takes_bytes(session)
        self.input = make_input(*size, of_bytes=of_bytes)
        self.channels: InputTensor = self.input[0].transpose(2, 0, 1) if of_bytes else self.input[0]
        self.outputs: dict[str, Tensor] = {
            output: np.zeros(shape, np.float32) for output, shape in shapes.items()
        }
        self._binding = session.io_binding()
        self._binding.bind_input(
            session.get_inputs()[0].name,
            "cpu",
            0,
            self.input.dtype.type,
            self.input.shape,
            self.input.ctypes.data,
        )
        for output, array in self.outputs.items():
            self._binding.bind_output(output, "cpu", 0, np.float32, array.shape, array.ctypes.data)

    def run(self) -> None:
        """Fill `outputs` from `input`.

        Raises
        ------
        DetectorError
            The runtime failed, for whatever reason.
        """
        self._run_options.terminate = False
        for output in self.outputs.values():
            output.fill(np.nan)  # a runtime that returns without writing is caught by the decoder
        try:
            self._session.run_with_iobinding(self._binding, self._run_options)
        except Exception as fault:  # onnxruntime raises bare classes of its own
            raise DetectorError(f"network {self._name!r} failed: {type(fault).__name__}") from None

    def cancel(self) -> None:
        """Ask a run on another thread to stop after the layer it is at: nobody waits for it any more."""
        self._run_options.terminate = True


class NetworkSession:
    """One network on one execution provider.

    Parameters
    ----------
    model : Model
    threads : int
        Of the runtime on the CPU.
    provider : str
        A name of `anonymize.detect.providers`; all but `cpu` are compared with the CPU at each input size.
    fallback : bool
        Where the provider is missing, does not start or does not agree: take the CPU instead of refusing.

    Attributes
    ----------
    provider : str
        The runtime's name of the one that is really used.
    fault : str
        Why it is not the one that was asked for; empty where it is.
    takes_bytes : bool
        The input is (1, H, W, 3) uint8, the picture as it is; otherwise (1, 3, H, W) float32, normalised.
    """

    def __init__(
        self, model: Model, *, threads: int = 1, provider: str = "cpu", fallback: bool = False
    ) -> None:
        self._ort = ort = load_runtime()
        self._model, self._threads, self._fallback = model, threads, fallback
        self.name, self.fault = model.entry.name, ""
        self.provider = providers.CPU
        try:
            theirs, options = providers.find(provider, ort.get_available_providers())
            self._session = self._open(theirs, options)
            self.provider = theirs
        except (ModelError, UsageError) as refused:
            if not fallback or provider not in providers.PROVIDERS or provider == "cpu":
                raise
            self._take_cpu(str(refused))
        if len(self._session.get_inputs()) != 1:
            raise ModelError(f"model {self.name!r} has {len(self._session.get_inputs())} inputs; wanted 1")
        self.takes_bytes = takes_bytes(self._session)
        self.output_names = tuple(output.name for output in self._session.get_outputs())

    def _open(self, provider: str, provider_options: dict[str, Any]) -> Any:
        options = self._ort.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        # a second block for all activations at once: 12 to 16 MB at 960 x 544, and not a hundredth of the time
        options.enable_mem_pattern = False
        options.log_severity_level = 4  # fatal alone: its warnings name files and shapes
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
        try:
            session = self._ort.InferenceSession(
                self._model.onnx, options, providers=[(provider, provider_options)]
            )
        except Exception as fault:  # onnxruntime raises bare classes of its own
            raise ModelError(f"model {self.name!r} cannot be loaded: {fault}") from None
        got = session.get_providers()
        if got[0] != provider or set(got) - {provider, providers.CPU}:
            raise ModelError(f"the session runs on {got}; wanted {provider}")
        return session

    def _take_cpu(self, why: str) -> None:
        self.fault, self.provider = why, providers.CPU
        self._session = self._open(providers.CPU, {})

    def _compare_with_cpu(self, height: int, width: int) -> None:
        """Ask another provider and the CPU the same.

        Raises
        ------
        ModelError
            They differ by more than the tolerance, and falling back is not allowed.
        """
        picture: InputTensor = providers.test_picture(height, width)
        if self.takes_bytes:
            picture = np.rint(255 * picture.transpose(0, 2, 3, 1)).astype(np.uint8)
        feed = {self._session.get_inputs()[0].name: picture}
        wanted = self._open(providers.CPU, {}).run(None, feed)
        try:
            difference = providers.largest_difference(self._session.run(None, feed), wanted)
        except Exception as fault:  # onnxruntime raises bare classes of its own
            raise ModelError(f"{self.provider} failed: {type(fault).__name__}") from None
        if not difference <= providers.TOLERANCE:
            raise ModelError(
                f"{self.provider} differs from the CPU by {difference:.3g} at {width} x {height} px; "
                f"wanted at most {providers.TOLERANCE}"
            )

    def bind(self, height: int, width: int, shapes: Mapping[str, tuple[int, ...]]) -> BoundNetwork:
        """Allocate input and outputs for pictures of `width` x `height` px; `shapes` of the outputs by name."""
        if set(shapes) - set(self.output_names):
            raise ModelError(
                f"model {self.name!r} has the outputs {', '.join(self.output_names)}; wanted {', '.join(shapes)}"
            )
        declared = self._session.get_inputs()[0].shape
        wanted = [1, height, width, 3] if self.takes_bytes else [1, 3, height, width]
        if len(declared) != 4 or any(
            isinstance(d, int) and d != w for d, w in zip(declared, wanted, strict=True)
        ):
            raise ModelError(
                f"model {self.name!r} takes an input of {declared}; wanted {wanted}, or names for sizes"
            )
        if self.provider != providers.CPU:
            try:
                self._compare_with_cpu(height, width)
            except ModelError as differs:
                if not self._fallback:
                    raise
                self._take_cpu(str(differs))
        return BoundNetwork(self._session, self.name, (height, width), shapes, self._ort.RunOptions())
