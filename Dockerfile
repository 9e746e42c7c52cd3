# pgconvoy with the client tools it needs, for a user without privileges:
#   docker build -t pgconvoy .
#   docker run --rm --init --user "$(id -u):$(id -g)" -v "$PWD:/runs" -v ~/.pgpass:/pgpass:ro -e PGPASSFILE=/pgpass \
#       pgconvoy check --source "host=… user=…" --target "host=… user=…"
# Run directories are made in /runs. Whoever runs it must be able to write there and to read the file of passwords, which is nobody
# else's to read; without --user, that is the user with the number 10001. With --init, another program is the container's first process:
# as such, pgconvoy would not be stopped by Ctrl-C everywhere. A run that is to go on by itself is started with docker run -d, not with
# --detach: the container ends with what it was started for. Servers on the same machine are reached with --network host.

FROM rust:1-slim-trixie AS build
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY sql sql
COPY benches benches
COPY tests/faults tests/faults
COPY tests/archives tests/archives
# Where the pages of memory are 4 to 64 kB large, depending on the kernel, the allocator has to know of the largest.
RUN if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
    && cargo build --release --locked --bin pgconvoy && strip target/release/pgconvoy

FROM debian:trixie-slim
# pg_dump must not be older than either server.
ARG CLIENT=18
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates postgresql-common \
    && /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y \
    && apt-get install --yes --no-install-recommends "postgresql-client-$CLIENT" \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home pgconvoy \
    && install --directory --owner pgconvoy /runs
COPY --from=build /build/target/release/pgconvoy /usr/local/bin/pgconvoy
USER pgconvoy
WORKDIR /runs
ENTRYPOINT ["pgconvoy"]
CMD ["--help"]
