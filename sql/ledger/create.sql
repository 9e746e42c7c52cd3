-- The ledger: what a run has done, committed with the work itself. Dropped as the last step of a proven run.
create schema pgconvoy;
comment on schema pgconvoy is 'Ledger of an unfinished pgconvoy run; gone when the run is proven.';

-- One row: the run. What another machine needs to go on with it is all here; what is bytea is compressed with zstd.
create table pgconvoy.run (
    run text not null primary key,
    format int4 not null,
    started_at timestamptz not null default pg_catalog.clock_timestamp(),
    pgconvoy_version text not null,
    request text not null,
    snapshot text not null,
    memory bytea not null,
    plan bytea not null,
    archive bytea not null
);

-- One row for each job that is done (part 0), and for each of its parts (1, 2, and so on) that has a result of its own.
create table pgconvoy.done (
    job int4 not null,
    part int4 not null,
    what text not null,
    rows int8 not null,
    bytes int8 not null,
    hash text,
    attempt int4 not null,
    finished_at timestamptz not null default pg_catalog.clock_timestamp(),
    primary key (job, part)
);

-- What went wrong: attempts that were given up, and statements that failed for good.
create table pgconvoy.trouble (
    job int4 not null,
    part int4 not null,
    attempt int4 not null,
    final boolean not null,
    message text not null,
    statement text,
    happened_at timestamptz not null default pg_catalog.clock_timestamp()
);
-- It has no key, and a publication of all tables that came with the move would keep us from deleting from it.
alter table pgconvoy.trouble replica identity full;
