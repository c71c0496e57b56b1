# The trainer service. Index and wheels: see docs/operations/deployment.md.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# cpu, or any: whatever build of torch the index has.
ARG TORCH_BUILD=cpu
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_NO_INDEX
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/trainer.txt /tmp/requirements.txt
COPY docker/install.sh /tmp/install.sh
RUN --mount=type=bind,from=wheels,target=/wheels /tmp/install.sh /tmp/requirements.txt
WORKDIR /app
COPY tradewind tradewind
COPY config config
COPY protos protos
COPY docker/start.sh docker/keys.py docker/
COPY pyproject.toml README.md ./
COPY trainer_service trainer_service
COPY tradewind_cli/__init__.py tradewind_cli/kernels.py tradewind_cli/
COPY tools/certificates.py tools/certificates.py
RUN pip install --no-deps --no-build-isolation --editable .
# Whole seconds: the cache of a kernel is stale when its source file is younger.
RUN find /app -exec touch --date=@1700000000 {} +
RUN NUMBA_CACHE_DIR=/opt/kernels PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 \
    python -m tradewind_cli.kernels risk messages market networks

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin tradewind \
    && install -d -o tradewind -g tradewind /bundles /signing /trusted /tls /access /clients /grafana \
       /var/lib/tradewind
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/kernels /opt/kernels
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    HOME=/tmp NUMBA_CACHE_DIR=/tmp/kernels
WORKDIR /app
USER tradewind
EXPOSE 50051 9101
HEALTHCHECK --interval=5s --timeout=15s --start-period=60s --retries=3 \
    CMD ["python", "-m", "tradewind.rpc.server.health", "127.0.0.1:50051"]
ENTRYPOINT ["/app/docker/start.sh", "python", "-m", "trainer_service"]
CMD ["--config", "config/compose/trainer.yaml"]
