# syntax=docker/dockerfile:1
# What Ray's head and workers run. From the repository's root:
#   docker build -f infra/train.Dockerfile -t gen-dist-gpu:0.1.0 .
#   docker build -f infra/train.Dockerfile -t gen-dist-cpu:0.1.0 --build-arg FLAVOUR=cpu \
#       --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .
# A private index with a password goes into a pip.conf that no layer keeps: --secret id=pip,src=pip.conf
FROM python:3.11.15-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ARG FLAVOUR=gpu
ARG PIP_EXTRA_INDEX_URL=
WORKDIR /src
COPY infra/build_environment.sh infra/
COPY pyproject.toml requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf infra/build_environment.sh "train-$FLAVOUR" /opt/venv
COPY README.md LICENSE ./
COPY gen_dist gen_dist
RUN --mount=type=secret,id=pip,target=/etc/pip.conf infra/build_environment.sh wheel /wheels

FROM python:3.11.15-slim-bookworm
# An image that is not NVIDIA's must say what it wants of the driver, and where else it may lie: GKE mounts it at
# /usr/local/nvidia and tells no loader. Which GPU it gets is Kubernetes' business.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/gen-dist \
    PYTHONUNBUFFERED=1 \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LD_LIBRARY_PATH=/usr/local/nvidia/lib64
# Login shells (an option of KubeRay's operator) forget PATH.
# hadolint ignore=SC2016
RUN groupadd --gid 10001 gen-dist \
    && useradd --uid 10001 --gid gen-dist --create-home gen-dist \
    && echo 'export PATH=/opt/venv/bin:$PATH' > /etc/profile.d/gen-dist.sh
COPY --from=build /opt/venv /opt/venv
# A layer of its own, small: the code changes more often than what it needs.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-index --no-deps /wheels/*.whl
COPY jobs /opt/gen-dist/jobs
USER 10001:10001
WORKDIR /home/gen-dist
CMD ["gen-dist", "--help"]
