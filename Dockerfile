# pgconvoy with the client tools it needs, for a user without privileges:
#   docker build -t pgconvoy .
#   docker run --rm -v "$PWD:/runs" -v ~/.pgpass:/home/pgconvoy/.pgpass:ro pgconvoy check --source … --target …
# Run directories are made in /runs, which must be writable for the user with the number 10001.

FROM rust:1-slim-trixie AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY sql sql
COPY benches benches
COPY tests/faults tests/faults
RUN cargo build --release --locked --bin pgconvoy && strip target/release/pgconvoy

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
