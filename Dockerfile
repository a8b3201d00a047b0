# syntax=docker/dockerfile:1
# Sanad on CPU: the models are in the package, nothing is downloaded at run time.
ARG PYTHON=3.11

FROM python:${PYTHON}-slim-bookworm AS build
# Where the pinned torch comes with gigabytes of CUDA: --build-arg EXTRA_INDEX=PyTorch's index of CPU builds.
ARG EXTRA_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_EXTRA_INDEX_URL=${EXTRA_INDEX}
WORKDIR /src
RUN python -m venv /opt/sanad
# The dependencies stay cached until pyproject.toml changes.
COPY pyproject.toml README.md LICENSE ./
RUN mkdir rag && touch rag/__init__.py && /opt/sanad/bin/pip install .
COPY rag rag
RUN /opt/sanad/bin/pip install --no-deps --force-reinstall .

FROM python:${PYTHON}-slim-bookworm
RUN useradd --uid 1000 --no-create-home --home-dir /tmp sanad \
    && install -d -o sanad -g sanad /data /data/corpus /data/index
COPY --from=build /opt/sanad /opt/sanad
ENV PATH=/opt/sanad/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1
USER 1000:1000
WORKDIR /data
VOLUME ["/data/corpus", "/data/index"]
EXPOSE 7860
# Ready once there is an index and the models are open.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
ENTRYPOINT ["rag"]
CMD ["serve", "--host", "0.0.0.0"]
