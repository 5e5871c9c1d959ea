# syntax=docker/dockerfile:1
# The bundle as one image: docker build -t message-persistence .
# With extras (database, model, pdf, telemetry): docker build --build-arg EXTRAS="model telemetry" .
# For AWS Lambda: docker build --target lambda .
# Images are pinned by digest: the same bits each time. `docker buildx imagetools inspect <name>`
# prints the digest of a newer one.
ARG PYTHON=python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

FROM ${PYTHON} AS dependencies
ARG EXTRAS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements/ ./
# Each lock file holds its extra and everything below it: the same versions as in runtime.txt.
RUN python -m venv /venv \
    && for lock in runtime ${EXTRAS}; do \
        /venv/bin/pip install --require-hashes --only-binary :all: -r "${lock}.txt" || exit 1; \
    done \
    && /venv/bin/pip uninstall --yes pip

FROM ${PYTHON} AS base
ENV PATH="/venv/bin:${PATH}" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PORT=8000
RUN useradd --system --uid 10001 --no-create-home bundle
WORKDIR /app
COPY --from=dependencies /venv /venv
COPY functions/ functions/
COPY shared/ shared/
# Compiled here, since nothing can be written where it runs: a start costs less.
RUN python -m compileall -q functions shared
USER 10001
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-m", "functions.healthcheck"]
CMD ["python", "-m", "functions", "--host", "0.0.0.0"]

# The adapter is an extension of Lambda's; anywhere else it is a file that nobody starts.
FROM public.ecr.aws/awsguru/aws-lambda-adapter:1.0.0@sha256:b4da35991627bdac98a81c377d0cc28e6989687359576dfda9f0b64be835d648 AS adapter

FROM base AS lambda
COPY --from=adapter /lambda-adapter /opt/extensions/lambda-adapter

# The last stage is what `docker build` makes.
FROM base AS runtime
