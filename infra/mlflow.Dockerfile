# syntax=docker/dockerfile:1
# MLflow's server with PostgreSQL, S3 and passwords. From the repository's root:
#   docker build -f infra/mlflow.Dockerfile -t gen-dist-mlflow:3.17.2 .
FROM python:3.11.15-slim-bookworm AS build
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
COPY infra/build_environment.sh infra/
COPY pyproject.toml requirements.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf infra/build_environment.sh mlflow /opt/venv

FROM python:3.11.15-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
COPY --from=build /opt/venv /opt/venv
COPY infra/migrate_mlflow.py infra/make_bucket.py /opt/gen-dist/
USER 10001:10001
WORKDIR /tmp
CMD ["mlflow", "--help"]
