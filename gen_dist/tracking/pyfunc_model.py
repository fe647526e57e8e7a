"""The file that MLflow keeps beside every registered bundle and runs to load it ("models from code").

It needs gen_dist where it is loaded. The weights are safetensors and the configuration is JSON: nothing is unpickled.
"""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel

from gen_dist.bundle.bundle import load_bundle


class GeneratorModel(PythonModel):  # type: ignore[misc]  # MLflow ships no types here
    """Draws images, `model.predict(None, params={"n": 64, "seed": 0})`, or translates: `model.predict(sources)`."""

    def load_context(self, context: Any) -> None:
        """Load the bundle; MLflow insists on the argument's name."""
        self.bundle = load_bundle(context.artifacts["bundle"])

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        """Images as uint8 (n, channels, height, width).

        A model that translates makes one from each of the sources (n, channels, height, width), uint8 too; of others
        `n` images of `seed` are drawn, and the input is not looked at.
        """
        chosen = {"n": 1, "seed": 0} | (params or {})
        if self.bundle.translates:
            return self.bundle.translate(torch.from_numpy(model_input), seed=int(chosen["seed"])).numpy()
        return self.bundle.sample(int(chosen["n"]), seed=int(chosen["seed"])).numpy()


PATH = Path(__file__)

mlflow.models.set_model(GeneratorModel())
