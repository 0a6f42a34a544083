# rdsearch with the tested versions, for the driver and for every Ray node: docker build -t rdsearch .
# Data is mounted at /data, what is kept between runs (downloads, dense networks) at /cache.
FROM python:3.11-slim

# KubeRay's probes call wget; rsync and ssh are what Ray's cluster launcher copies files with.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends wget rsync openssh-client \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/rdsearch
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY rdsearch rdsearch
COPY search_spaces search_spaces
COPY decoder decoder
COPY packaging packaging
RUN pip install --no-cache-dir --constraint constraints.txt '.[figures,postgresql,s3]' 'ray[default]'

RUN useradd --create-home --uid 1000 rdsearch \
    && mkdir /data /cache /work \
    && chown rdsearch /data /cache /work
USER rdsearch
# The coder's inner loop is compiled here and not in the middle of the first trial on every node.
RUN python -c 'import numpy; from rdsearch.coding import encode_arrays; encode_arrays([numpy.ones((2, 2), int)])'
ENV RDSEARCH_DATA=/data RDSEARCH_CACHE=/cache
WORKDIR /work
CMD ["rdsearch", "--help"]
