"""Experiment tracking and the model registry: the only package that imports MLflow.

MLflow reads these two settings while it is imported, so they are made here, and only where the user has made none: no
usage reports leave the machine, and artifact transfers draw no progress bars into the log of a run.
"""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
