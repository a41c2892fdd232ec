"""onnxruntime, started when first asked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import ModelFileError, ModelShapeError
from robust.graph.onnx_file import OnnxFile

_CHUNK = 256


class OnnxSession:
    """One value of an ONNX file by onnxruntime on the CPU.

    Args:
        file: what was read.
        output: name of the value; need not be an output of the file.
        declared_batch: batch written into the file, or None where it is free.
        dtype: element type of the first input.
        batched: whether inputs have a batch axis at all.
    """

    def __init__(
        self, file: OnnxFile, output: str, declared_batch: int | None, dtype: type[np.floating[Any]], *, batched: bool
    ) -> None:
        self._file, self._output, self._batch, self._dtype, self._batched = file, output, declared_batch, dtype, batched
        self._session: Any = None

    def run(self, *inputs: NDArray[Any]) -> NDArray[np.float32]:
        """``[n, ...]`` per input to float32 ``[n, ...]``; the first input is cast to the file's element type.

        Raises:
            ModelFileError: onnxruntime does not take the file.
            ModelShapeError: onnxruntime does not take the inputs.
        """
        ready = [inputs[0].astype(self._dtype), *inputs[1:]]
        count = len(ready[0])
        size = 1 if not self._batched else self._batch or _CHUNK
        rows = [self._chunk([array[start : start + size] for array in ready], size) for start in range(0, count, size)]
        return np.concatenate(rows) if rows else np.zeros((0, 1), dtype=np.float32)

    def _chunk(self, inputs: list[NDArray[Any]], size: int) -> NDArray[np.float32]:
        count = len(inputs[0])
        if not self._batched:
            return self._call([array[0] for array in inputs])[None]
        if self._batch and count < size:
            inputs = [np.concatenate([array, np.repeat(array[-1:], size - count, axis=0)]) for array in inputs]
        try:
            answer = self._call(inputs)
        except ModelShapeError:
            if self._batch or count == 1:
                raise
            self._batch = 1
            return np.concatenate([self._chunk([array[row : row + 1] for array in inputs], 1) for row in range(count)])
        single = self._batch == 1 and (
            answer.ndim == 0 or answer.shape[0] != 1 or (answer.ndim == 1 and answer.size > 1)
        )
        return answer[None] if single else answer[:count]

    def _call(self, inputs: list[NDArray[Any]]) -> NDArray[np.float32]:
        session = self._start()
        names = [value.name for value in self._file.inputs]
        try:
            answer = session.run([self._output], dict(zip(names, inputs, strict=True)))[0]
        except Exception as error:  # onnxruntime raises its own classes, one per kind of failure
            raise ModelShapeError(
                f"{self._file.path}: onnxruntime does not take these inputs",
                wanted=", ".join(f"{value.name} {value.dtype} {value.shape}" for value in self._file.inputs),
                got=f"{[array.shape for array in inputs]}: {error}",
            ) from error
        return np.asarray(answer, dtype=np.float32)

    def _start(self) -> Any:
        if self._session is None:
            import onnx
            import onnxruntime

            proto = onnx.ModelProto()
            proto.CopyFrom(self._file.proto)
            if self._output not in {value.name for value in self._file.outputs}:
                del proto.graph.output[:]
                proto.graph.output.append(onnx.ValueInfoProto(name=self._output))
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            try:
                self._session = onnxruntime.InferenceSession(
                    proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
                )
            except Exception as error:  # onnxruntime raises its own classes, one per kind of failure
                raise ModelFileError(f"onnxruntime does not take {self._file.path}", got=error) from error
        return self._session
