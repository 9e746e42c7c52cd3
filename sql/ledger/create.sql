-- The ledger: what a run has done, committed with the work itself. Dropped as the last step of a proven run.
create schema pgconvoy;
comment on schema pgconvoy is 'Ledger of an unfinished pgconvoy run; gone when the run is proven.';

create table pgconvoy.run (
    run text not null primary key,
    started_at timestamptz not null default pg_catalog.clock_timestamp(),
    pgconvoy_version text not null,
    source text not null,
    snapshot text not null,
    snapshot_lsn text not null,
    plan text not null
);

create table pgconvoy.done (
    job int4 not null,
    what text not null,
    rows int8 not null,
    bytes int8 not null,
    hash text,
    finished_at timestamptz not null default pg_catalog.clock_timestamp(),
    primary key (job, what)
);
