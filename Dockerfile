# A container with the package in /home/reader/d2l_seq2seq, set up as `make train` sets it up.
#
#     docker build -t d2l_seq2seq .
#     docker run --rm d2l_seq2seq                                  # make train
#     docker run --rm -it d2l_seq2seq bash
#     docker run --rm -p 127.0.0.1:8888:8888 d2l_seq2seq make lab ARGS="--no-browser --ip=0.0.0.0"
#
# On Apple silicon, add `--platform linux/amd64` to both commands.
FROM python:3.11-slim-bookworm

# MXNet's wheel needs the two libraries and does not contain them.  The release of Debian is fixed
# above, and within a release only bugs are fixed, so the versions of packages are not pinned.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 libquadmath0 make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 reader

USER 1000
WORKDIR /home/reader/d2l_seq2seq
COPY --chown=reader . .
RUN make venv
CMD ["make", "train"]
