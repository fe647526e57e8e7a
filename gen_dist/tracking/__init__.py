"""Experiment tracking and the model registry: the only package that imports MLflow.

MLflow reads these settings while it is imported, so they are made here, and only where the user has made none: no usage
reports leave the machine, and artifact transfers draw no progress bars into the log of a run. Nor does the creation of
a database, which is announced as if it were news, or a type hint of MLflow's own that MLflow warns of.
"""

import logging
import os
import warnings

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", ".*Any type hint is inferred as AnyType", UserWarning)
