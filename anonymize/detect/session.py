"""The network's run: ONNX Runtime from checked bytes, on arrays that are allocated once.

The one module that imports onnxruntime; its exceptions become `ModelError` or `DetectorError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from anonymize.detect.manifest import Model
from anonymize.errors import DetectorError, ModelError

Tensor = npt.NDArray[np.float32]
PROVIDER: Final = "CPUExecutionProvider"
NO_FOLDER: Final = "/nonexistent"  # where external data files would be looked for: they are refused


class BoundNetwork:
    """A network with the arrays for one input size.

    Attributes
    ----------
    input : (1, 3, H, W) float32
        Fill it before `run`.
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
        height, width = size
        self._session, self._name = session, name
        self._run_options = run_options
        self.input: Tensor = np.zeros((1, 3, height, width), np.float32)
        self.outputs: dict[str, Tensor] = {
            output: np.zeros(shape, np.float32) for output, shape in shapes.items()
        }
        self._binding = session.io_binding()
        self._binding.bind_input(
            session.get_inputs()[0].name, "cpu", 0, np.float32, self.input.shape, self.input.ctypes.data
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
    """One network on one processor: the CPU, and nothing else."""

    def __init__(self, model: Model, *, threads: int = 1) -> None:
        try:
            import onnxruntime as ort
        except ImportError as fault:
            raise ModelError(f"onnxruntime cannot be imported: {fault}") from None
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # fatal alone: its warnings name files and shapes
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", NO_FOLDER)
        self.name = model.entry.name
        self._make_run_options = ort.RunOptions
        try:
            self._session = ort.InferenceSession(model.onnx, options, providers=[PROVIDER])
        except Exception as fault:  # onnxruntime raises bare classes of its own
            raise ModelError(f"model {self.name!r} cannot be loaded: {fault}") from None
        if self._session.get_providers() != [PROVIDER]:
            raise ModelError(f"the session runs on {self._session.get_providers()}; wanted {PROVIDER} alone")
        if len(self._session.get_inputs()) != 1:
            raise ModelError(f"model {self.name!r} has {len(self._session.get_inputs())} inputs; wanted 1")
        self.output_names = tuple(output.name for output in self._session.get_outputs())

    def bind(self, height: int, width: int, shapes: Mapping[str, tuple[int, ...]]) -> BoundNetwork:
        """Allocate input and outputs for pictures of `width` x `height` px; `shapes` of the outputs by name."""
        if set(shapes) - set(self.output_names):
            raise ModelError(
                f"model {self.name!r} has the outputs {', '.join(self.output_names)}; wanted {', '.join(shapes)}"
            )
        declared = self._session.get_inputs()[0].shape
        wanted = [1, 3, height, width]
        if len(declared) != 4 or any(
            isinstance(d, int) and d != w for d, w in zip(declared, wanted, strict=True)
        ):
            raise ModelError(
                f"model {self.name!r} takes an input of {declared}; wanted {wanted}, or names for sizes"
            )
        return BoundNetwork(self._session, self.name, (height, width), shapes, self._make_run_options())
